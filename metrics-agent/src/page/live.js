// The stream of events: a whole state first, then every second what is new.

const SILENT_MS = 4_000;
const RETRY_MS = 3_000;

/**
 * Follows the agent as long as the page is visible.
 * @param {(status: object, whole: boolean) => void} onStatus
 * @param {(state: "connecting" | "live" | "lost") => void} onState
 */
export function follow(onStatus, onState) {
  let source = null;
  let retry = 0;
  let silence = 0;

  function heard(status, whole) {
    clearTimeout(silence);
    silence = setTimeout(() => onState("lost"), SILENT_MS);
    onState("live");
    onStatus(status, whole);
  }

  function open() {
    close();
    onState("connecting");
    source = new EventSource("/events");
    source.addEventListener("whole", (event) => heard(JSON.parse(event.data), true));
    source.addEventListener("update", (event) => heard(JSON.parse(event.data), false));
    source.addEventListener("error", () => {
      onState("lost");
      // A refusal ends a source for good, a broken connection does not.
      if (source?.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY_MS);
    });
  }

  function close() {
    source?.close();
    source = null;
    clearTimeout(retry);
    clearTimeout(silence);
  }

  // A page that nobody sees costs the agent nothing.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
}
