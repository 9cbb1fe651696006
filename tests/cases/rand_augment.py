"""The values of `rand_augment.safetensors`, by torchvision in float64: python rand_augment.py OUT

`IMAGE` is an image, `IMAGE/OPERATION/SIGN` what strength 18 of 30 makes of it; operations by their numbers in src/data/split/rand_augment.rs.
"""
import sys, torch
import torchvision.transforms.v2.functional as F
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
g = torch.Generator().manual_seed(31)
bytes_of = lambda shape, low, high: torch.randint(low, high, shape, generator=g) / 255.0
# Equalising does something where there are more pixels than 255 values.
images = {"colour": bytes_of((3, 4, 5), 0, 256), "grey": bytes_of((1, 5, 4), 20, 190), "large": bytes_of((1, 40, 40), 30, 100)}
m, out = 18 / 30, dict(images)
for name, x in images.items():
    for sign in (1, -1):
        f = 1 + 0.9 * m * sign
        each = {6: F.adjust_brightness(x, f), 8: F.adjust_contrast(x, f), 9: F.adjust_sharpness(x, f)}
        if x.shape[0] == 3:
            each[7] = F.adjust_saturation(x, f)
        if sign == 1:
            each |= {10: F.posterize(x, 8 - round(m * 4)), 11: F.solarize(x, 1 - m), 12: F.autocontrast(x), 13: F.equalize(x)}
        if name == "large":
            each = {k: v for k, v in each.items() if k == 13}
        out |= {f"{name}/{k}/{sign}": v.to(torch.float64) for k, v in each.items()}
save_file({k: v.contiguous() for k, v in out.items()}, sys.argv[1])
