// Elements and numbers. Texts enter the document here, and only as texts.

/** Makes an element: attributes (a false one is left out), then children or texts. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Sets a node's text if it is another one, so that nothing is laid out for nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute if it is another one. */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export const UNKNOWN = "–";

const whole = new Intl.NumberFormat("en");

export const number = (value) =>
  value == null ? UNKNOWN : Math.abs(value) < 10 && value % 1 !== 0 ? value.toFixed(1) : whole.format(Math.round(value));

export function percent(part) {
  if (part == null) return UNKNOWN;
  const hundredths = part * 100;
  return `${hundredths > 0 && hundredths < 1 ? hundredths.toFixed(1) : Math.round(hundredths)} %`;
}

export function age(ms) {
  if (ms == null) return UNKNOWN;
  return ms < 1_000 ? `${ms} ms` : span(ms / 1_000);
}

export function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds * 10) / 10} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export const counted = (count, noun) => `${whole.format(count)} ${noun}${count === 1 ? "" : "s"}`;

/** The mean of what is known. */
export function mean(values) {
  const known = values.filter((value) => value != null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

/** The sum of what is known. */
export function sum(values) {
  const known = values.filter((value) => value != null);
  return known.length ? known.reduce((total, value) => total + value, 0) : null;
}

/** How many first characters all texts share. */
export function sharedLength(texts) {
  let length = Math.min(...texts.map((text) => text.length));
  for (const text of texts) while (!texts[0].startsWith(text.slice(0, length))) length--;
  return length;
}
