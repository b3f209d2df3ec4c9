"""LaTeX to MathML, which browsers set by themselves."""

import re
from xml.etree.ElementTree import fromstring, tostring

from latex2mathml.converter import convert

ARG = re.compile(r"\\arg\s*\\(min|max)|\\operatorname\*\{arg\\,(min|max)\}")
ACCENTS = ("~", "^", "¯", "˙", "¨", "→")
LIMITS = ("min", "max", "arg min", "arg max")


def set_formula(latex: str, block: bool) -> str:
    """A formula as MathML, which browsers set by themselves; a ValueError says what is wrong with it."""
    if latex.count("{") - latex.count(r"\{") != latex.count("}") - latex.count(r"\}"):
        raise ValueError("its braces do not match")
    latex = ARG.sub(lambda found: rf"\text{{arg {found[1] or found[2]}}}", latex)
    made = convert(latex, display="block" if block else "inline")
    math = fromstring(made.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', ""))
    for part in math.iter():
        if "\\" in (part.text or ""):
            raise ValueError(f"{part.text} is not known")
        if block and part.tag == "msub" and (part[0].text or "").replace("\xa0", " ") in LIMITS:
            part.tag = "munder"
        if (
            part.tag == "mo" and part.text in ("|", "‖") and "fence" not in part.attrib
        ):  # as high as a letter, and close to it
            part.attrib.update(stretchy="false", lspace="0", rspace="0")
        if part.tag == "mi" and re.fullmatch("[Α-Ω]", part.text or ""):
            part.set("mathvariant", "normal")
        if part.tag == "mover" and (part[-1].text or "") in ACCENTS:
            part.set("accent", "true")
    return tostring(math, encoding="unicode")
