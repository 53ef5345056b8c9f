"""Where do the commands come together, and what does a person read when one fails?"""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from typer.exceptions import Abort, TyperException

from carrel.cli import groups
from carrel.cli.output import remark
from carrel.cli.target import hoist, settings
from carrel.core.errors import (
    CarrelError,
    Conflict,
    Denied,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
)

FAILED, USAGE, SIGNED_OUT, DENIED, ABSENT, CONFLICT = 1, 2, 3, 4, 5, 6
INTERRUPTED = 130
_CODES: Sequence[tuple[type[CarrelError], int]] = (
    (InvalidRequest, USAGE),
    (NotAuthenticated, SIGNED_OUT),
    (Denied, DENIED),
    (NotFound, ABSENT),
    (Conflict, CONFLICT),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit status; never shows a traceback."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status, with every error as a sentence on stderr."""
    try:
        words = hoist(list(arguments))
        return int(groups.build(words)(args=words, standalone_mode=False) or 0)
    except CarrelError as error:
        remark(_sentence(error))
        return exit_code(error)
    except (Abort, KeyboardInterrupt):
        remark("Stopped.")
        return INTERRUPTED
    except TyperException as error:
        _show_usage(error)
        return int(getattr(error, "exit_code", USAGE))
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except Exception as error:  # noqa: BLE001 - the top of the process: a person needs a sentence
        remark(f"Carrel itself failed ({type(error).__name__}: {error}). {_keep(error)}")
        return FAILED


def exit_code(error: CarrelError) -> int:
    """Return the exit status that stands for `error`."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def _sentence(error: CarrelError) -> str:
    named = error.field and error.field not in str(error)
    return f"{error.field}: {error}" if named else str(error)


def _show_usage(error: TyperException) -> None:
    show = getattr(error, "show", None)
    if show is None:
        remark(str(error))
    else:
        show()


def _keep(error: Exception) -> str:
    """Write the traceback where the person may look, and say where."""
    text = "".join(traceback.format_exception(error))
    for folder in (settings().home / "logs", Path.home() / ".config" / "carrel"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "cli.log").open("a") as log:
                log.write(text)
        except OSError:
            continue
        return f"The details are in {folder / 'cli.log'}."
    return "The details could not be written anywhere."


if __name__ == "__main__":
    main()
