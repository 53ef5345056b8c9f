"""What does every template know? The Jinja environment over all rooms' templates."""

from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

from carrel.portal import looks
from carrel.portal.navigation import menu
from carrel.portal.static_files import static_url

SOURCE = Path(__file__).parents[1]


def template_folders() -> list[Path]:
    """Return the `templates` folder of each room, the portal's first."""
    folders = sorted(SOURCE.glob("*/templates"))
    own = Path(__file__).parent / "templates"
    return [own, *(folder for folder in folders if folder != own)]


def make_environment(cache_folder: Path | None = None) -> Environment:
    """Return the environment that renders every page; an undefined name is an error."""
    environment = Environment(
        loader=FileSystemLoader(template_folders()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=400,
        bytecode_cache=FileSystemBytecodeCache(str(cache_folder)) if cache_folder else None,
    )
    environment.globals.update(
        static=static_url,
        navigation=menu,
        status_look=looks.status_look,
        version=version("carrel"),
    )
    environment.filters.update(
        when=looks.when,
        iso=looks.iso,
        clock_time=looks.clock_time,
        size=looks.size,
        duration=looks.duration,
        markdown=looks.markdown,
        role_name=looks.role_name,
        action_name=looks.action_name,
    )
    environment.filters["plural"] = looks.plural
    return environment
