"""Why torch's libraries cannot be imported. Imports none of them."""


def explain_import(error: BaseException) -> str:
    """What is wrong with the installation, and what helps.

    A torchvision that was built for another torch fails with ``operator torchvision::nms does not
    exist``, and every import of transformers with it, under a message that names neither.
    """
    return broken_torchvision(error) or f"transformers cannot be imported: {error}"


def broken_torchvision(error: BaseException) -> str | None:
    """The same for that one fault, or None where it is not the cause."""
    chain: BaseException | None = error
    while chain is not None:
        if "torchvision::nms" in str(chain):
            return (
                "torchvision does not fit the installed torch (operator torchvision::nms does not "
                "exist); uninstall torchvision, or install the build for this torch"
            )
        chain = chain.__cause__ or chain.__context__
    return None
