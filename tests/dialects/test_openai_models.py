from dataclasses import replace

from tests.dialects.stub import CARD, TEXT_CARD, StubService, get


def test_models_are_listed_under_each_of_their_names_without_server_paths():
    reply, body = get("/v1/models/", StubService(cards=(CARD, TEXT_CARD)))
    assert [model["id"] for model in body["data"]] == [CARD.name, *CARD.aliases, TEXT_CARD.name]
    assert [model["root"] for model in body["data"]] == [CARD.name, CARD.name, TEXT_CARD.name]
    assert CARD.checkpoint.encode() not in reply.body


def test_a_model_is_found_by_its_alias():
    _, body = get(f"/v1/models/{CARD.aliases[0]}")
    assert (body["id"], body["root"]) == (CARD.aliases[0], CARD.name)


def test_the_list_is_the_same_at_every_call():
    assert get("/v1/models") == get("/v1/models")


def test_a_model_says_what_it_can_do_and_how_much():
    card = replace(CARD, matryoshka=(1, 2), prompts={"query": "q: "}, max_inputs=9, state="loading")
    _, body = get("/v1/models", StubService(cards=(card,)))
    model = body["data"][0]
    assert (model["dimensions"], model["matryoshka"], model["prompts"]) == (3, [1, 2], ["query"])
    assert model["limits"] == {"max_inputs": 9, "max_input_tokens": 77}
    assert (model["state"], model["max_model_len"]) == ("loading", 77)
