"""Single cuts of a manifest, to listen to."""

from collections.abc import Collection, Iterator

import numpy as np

from speechkit.data.manifest import read_cuts
from speechkit.data.reading import UnreadableAudio, load_waveform, open_cut


def read_clips(
    manifest: str, ids: Collection[str], sample_rate: int
) -> Iterator[tuple[str, np.ndarray, int]]:
    """(id, samples (N,), sample rate) of the cuts with these ids, in this order, as a model hears them.

    That is the part of its recording that a cut is, one channel, at `sample_rate` Hz. What cannot be read is
    left out.
    """
    wanted = set(ids)
    cuts = {cut.id: cut for cut in read_cuts(manifest) if cut.id in wanted}
    for name in ids:
        try:
            yield name, load_waveform(open_cut(cuts[name], sample_rate)), sample_rate
        except (KeyError, UnreadableAudio):  # of other data, or gone since it was heard
            continue
