// Sentences for the person: complaints at the place where something went wrong, and news for screen readers.

/** Shows a sentence in the alert of that id, or takes it away. */
export function complain(id, text) {
    const place = document.getElementById(id);
    place.textContent = text ?? "";
    place.hidden = !text;
    if (text) place.scrollIntoView({ block: "nearest" });
}

/** Lets a screen reader say what happened. */
export function announce(text) {
    document.getElementById("status").textContent = text;
}
