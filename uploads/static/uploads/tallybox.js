// The page works without this script. It refuses files before they are sent, and takes files dropped anywhere.
(() => {
  const form = document.querySelector("form.drop");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const refusal = document.getElementById("refusal");
  // A second submit makes the browser abort the first one.
  const STILL_SENDING = "Files are still being sent. Wait until they are listed; to give them up, reload the page.";
  const limit = Number(form.dataset.maxSize);
  const limitText = document.getElementById("limits").textContent;

  let sending = false;

  const refuse = (sentence) => {
    refusal.textContent = sentence;
    refusal.hidden = false;
  };

  form.addEventListener("submit", (event) => {
    const files = [...input.files];
    const large = files.find((file) => file.size > limit);
    if (sending) refuse(STILL_SENDING);
    else if (large) refuse(`“${large.name}” is too large. ${limitText}`);
    else if (files.reduce((sum, file) => sum + file.size, 0) > limit) refuse(`These files are too large together. ${limitText}`);
    else if (files.length > 100) refuse(`These are ${files.length} files. ${limitText}`);
    else {
      refusal.hidden = true;
      sending = true;
      form.querySelector("button").textContent = "Sending…";
      return;
    }
    event.preventDefault();
  });

  const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    form.classList.add("over");
  });
  document.addEventListener("dragleave", () => form.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    form.classList.remove("over");
    if (sending) return refuse(STILL_SENDING);
    input.files = event.dataTransfer.files;
    form.requestSubmit();
  });
  // A page restored from the back/forward cache can send again.
  window.addEventListener("pageshow", () => {
    sending = false;
    form.querySelector("button").textContent = "Send";
  });
})();
