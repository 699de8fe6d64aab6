// Every text and every edge of a form field that is seen, with its contrast (WCAG 2.2: 1.4.3, 1.4.11).
(() => {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (!element.checkVisibility() || ["SCRIPT", "OPTION"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const says = element.value || [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const name = element.tagName + " " + (element.textContent || element.value || "").trim().slice(0, 30);
    if (says) {
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
      found.push({ name, ratio: ratio(style.color, behind(element)), wanted: large ? 3 : 4.5 });
    }
    if (["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName))
      found.push({ name: name + " (edge)", ratio: ratio(style.borderTopColor, behind(element.parentElement)), wanted: 3 });
  }
  return found;
})()
