"""In which precision networks are computed: bfloat16 where the hardware multiplies it natively, float32 elsewhere."""

import torch


def fast_dtype(device: torch.device) -> torch.dtype:
    """What a device is fast at: the one place that decides precision."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32


def fast_training(accelerator: str) -> str:
    """The trainer's precision, "bf16-mixed" or "32-true", for the accelerator that it was given ("cpu", "gpu", ...)."""
    chosen = None if accelerator == "cpu" else torch.accelerator.current_accelerator(check_available=True)
    return "bf16-mixed" if fast_dtype(chosen or torch.device("cpu")) == torch.bfloat16 else "32-true"
