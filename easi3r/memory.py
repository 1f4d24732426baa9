"""How much memory a run takes at its highest, and when there was too little."""

import gc
import re
import sys
from pathlib import Path
from typing import Any

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")  # Linux's word on this process


class Peak:
    """Measures from when it is made: resident memory of the process, and what was allocated on a GPU."""

    def __init__(self, device: str) -> None:
        release()
        self._cuda: Any = sys.modules["torch"].cuda if device.startswith("cuda") else None
        if self._cuda:
            self._cuda.reset_peak_memory_stats()
        try:
            _RESET.write_text("5")  # the highest mark is the present one
            self._known = True
        except OSError:
            self._known = False

    def used(self) -> dict[str, float | None]:
        """`memory_mb` and `gpu_memory_mb`, MB of a million bytes; None where not known or not used."""
        resident = re.search(r"VmHWM:\s*(\d+)", _STATUS.read_text()) if self._known else None
        return {
            "memory_mb": int(resident[1]) * 1024 / 1e6 if resident else None,
            "gpu_memory_mb": self._cuda.max_memory_allocated() / 1e6 if self._cuda else None,
        }


def release() -> None:
    """Give back what nothing refers to any more, on the GPU too."""
    gc.collect()
    torch = sys.modules.get("torch")  # where nobody has imported it, it holds nothing
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def ran_out(error: Exception) -> bool:
    """Whether this is what a library raises for want of memory: Python and numpy, torch (GPU, CPU, MPS), OpenCV."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "can't allocate memory" in text)
        or ("insufficient memory" in text)
    )
