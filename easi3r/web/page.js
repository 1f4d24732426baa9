() => {
    // What gradio's widgets lack for those who hear the page or have no mouse. Widgets come and go: it is looked at again.
    const captions = @CAPTIONS@;  // of the examples: name -> what it shows
    const call = (element, name) => element.ariaLabel !== name && (element.ariaLabel = name);
    const complete = () => {
        document.querySelector("main")?.setAttribute("lang", "en");  // gradio says that all is in the browser's language
        for (const item of document.querySelectorAll("#examples button")) {
            const [, file] = item.querySelector("video")?.src.match(/(\w+)\.mp4$/) ?? [];
            if (file in captions) call(item, captions[file]);
        }
        for (const box of document.querySelectorAll(".upload-container")) {
            box.lang = document.documentElement.lang;
            call(box, `${box.parentElement.querySelector("label")?.innerText ?? ""}: ${box.innerText}`);
        }
        for (const shown of document.querySelectorAll(".image-container > button")) call(shown, "Enlarge the picture");
        for (const head of document.querySelectorAll(".toast-header[role]")) { // it holds the button that closes it
            head.removeAttribute("role");
            head.removeAttribute("tabindex");
        }
        for (const list of document.querySelectorAll("#views [role=tablist]")) call(list, "Views of the result");
    };
    let due = 0;
    new MutationObserver(() => due ||= setTimeout(() => { due = 0; complete(); }, 100))
        .observe(document.body, {childList: true, subtree: true});
    complete();

    addEventListener("keydown", event => {
        const step = {ArrowRight: 1, ArrowLeft: -1}[event.key], tab = event.target.closest("[role=tab]");
        if (!step || !tab) return;
        const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
        tabs.at((tabs.indexOf(tab) + step) % tabs.length).focus();
    });

    // gradio ends its stream of answers when all are there, and never opens it again for what was asked for in that very
    // moment (seen in version 6.31): whatever is asked for next does, so something is, a while after each question.
    const ask = window.fetch;
    let late = 0, ours = false;
    window.fetch = (...question) => {
        if (String(question[0]?.url ?? question[0]).includes("/queue/join")) {
            if (!ours) {
                clearTimeout(late);
                late = setTimeout(() => { ours = true; document.querySelector("#poke").click(); }, 3000);
            }
            ours = false;
        }
        return ask(...question);
    };

    const voice = document.createElement("div"), told = new Map();
    voice.setAttribute("role", "status");
    voice.className = "for-ears";
    document.querySelector("main").append(voice);
    setInterval(() => {
        for (const box of document.querySelectorAll(":is(#status, #compare-status) :is(input, textarea)")) {
            const step = box.value.replace(/^\s*\d+%\s*/, "");  // every per cent would be too much to hear
            if (told.get(box) !== step) voice.textContent = step;
            told.set(box, step);
        }
    }, 1000);
}
