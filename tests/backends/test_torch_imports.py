from polyvec.backends._torch_imports import broken_torchvision, explain_import


def test_a_torchvision_of_another_torch_is_found_behind_another_message() -> None:
    error = ImportError("Could not import module 'BertModel'.")
    error.__cause__ = RuntimeError("operator torchvision::nms does not exist")
    assert explain_import(error).startswith("torchvision does not fit the installed torch")


def test_other_faults_are_shown_as_they_are() -> None:
    assert broken_torchvision(ImportError("no module named torchvision")) is None
    assert "something else" in explain_import(ImportError("something else"))
