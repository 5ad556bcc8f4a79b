"""Speech of single speakers, to make mixtures of: folders of speakers, and Kaldi's data folders."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speechkit.data.corpus import Clip, find_audio
from speechkit.errors import Place, UserError


def read_speech(folders: Sequence[Path]) -> list[Clip]:
    """The clips of folders of speech, each with its speaker.

    A folder with `wav.scp` is Kaldi's: `utt2spk` has the speakers, paths are relative to the folder, the one
    above, or the current one. In any other folder the first level of sub-folders is the speakers.

    Raises:
        UserError: no audio in a folder, a clip without a speaker, a file that is missing
    """
    clips = []
    for folder in folders:
        found = _read_kaldi(folder) if (folder / "wav.scp").is_file() else _read_speakers(folder)
        if not found:
            expected = "a folder for each speaker with audio below it, or wav.scp and utt2spk"
            raise UserError(f"no speech in {folder}", expected=expected, key="speech")
        clips += found
    counts = Counter(clip.id for clip in clips)
    return [replace(clip, id=_long_id(clip)) if counts[clip.id] > 1 else clip for clip in clips]


def read_kaldi_table(path: Path) -> dict[str, tuple[str, Place]]:
    """The lines of a table of Kaldi's: a name, white space, a value, and where it stands.

    Raises:
        UserError: no such table, or with file and line: a line of another form, or a command (it ends in |)
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}", expected="a table of Kaldi's") from error
    rows = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words, place = line.split(maxsplit=1), Place(str(path), number)
        if len(words) != 2 or line.rstrip().endswith("|"):
            raise UserError(f"{line!r}", expected="a name and a value", place=place)
        rows[words[0]] = (words[1].strip(), place)
    return rows


def _read_kaldi(folder: Path) -> list[Clip]:
    speakers = read_kaldi_table(folder / "utt2spk")
    clips = []
    for name, (value, place) in read_kaldi_table(folder / "wav.scp").items():
        if name not in speakers:
            raise UserError(f"{name} has no speaker in {folder / 'utt2spk'}", place=place)
        paths = [base / value for base in (folder, folder.parent, Path.cwd())]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise UserError(f"there is no file {value}", expected=f"one below {folder.parent}", place=place)
        clips.append(Clip(path, name, speaker=speakers[name][0]))
    return clips


def _read_speakers(folder: Path) -> list[Clip]:
    clips = []
    for path in find_audio(folder):
        speaker, *rest = path.relative_to(folder).parts
        if rest:  # what lies in the folder itself is nobody's
            clips.append(Clip(path, path.stem, speaker=speaker))
    return clips


def _long_id(clip: Clip) -> str:
    """For a name that several files have."""
    return "-".join([*clip.path.parent.parts[-2:], clip.id])
