// Sentences for the person: complaints at the place where something went wrong, and news for screen readers.

/** Shows a sentence in the alert of that id, or takes it away. */
export function complain(id, text) {
    const place = document.getElementById(id);
    place.textContent = text ?? "";
    place.hidden = !text;
    if (text) place.scrollIntoView({ block: "nearest" });
}

/** Asks before something is lost; tells whether the person agrees. Escape means no; of a second question nobody hears. */
export async function agreed(question, text, yes) {
    const dialog = document.getElementById("ask");
    if (dialog.open) return false;
    for (const [id, words] of [["ask-title", question], ["ask-text", text], ["ask-yes", yes]]) {
        document.getElementById(id).textContent = words;
    }
    dialog.returnValue = "no";
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    return dialog.returnValue === "yes";
}

/** Lets a screen reader say what happened. */
export function announce(text) {
    document.getElementById("status").textContent = text;
}
