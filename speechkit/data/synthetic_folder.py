"""A folder of synthetic audio, with the settings that it was made by."""

import json
from pathlib import Path

from speechkit.errors import UserError

SETTINGS_FILE = "synthesis.json"


def is_finished(folder: Path, settings: dict[str, object]) -> bool:
    """True for this corpus, False for an empty, absent or unfinished folder; an error for any other."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / SETTINGS_FILE).read_text())
        complete = found.pop("complete")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        do = "name an empty folder, or one that does not exist yet"
        raise UserError(f"{folder} holds something else than a synthetic corpus", do=do) from error
    if found != settings:
        differs = [key for key in settings if found.get(key) != settings[key]]
        there = f" ({', '.join(f'{key} {found.get(key)}' for key in differs)})" if differs else ""
        raise UserError(
            f"{folder} holds a corpus of another {', '.join(differs) or 'kind'}{there}",
            expected=", ".join(f"{key} {settings[key]}" for key in differs),
            do="name another folder, or delete this one",
        )
    return bool(complete)


def write_settings(folder: Path, settings: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n")
