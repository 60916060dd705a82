"use strict";
(() => {
  const people = [...document.querySelectorAll("[data-person]")];
  const tabs = [...document.querySelectorAll("[data-tab]")];

  const open = (key) => {
    people.forEach((p) => { p.hidden = p.dataset.person !== key; });
    tabs.forEach((t) => {
      if (t.dataset.tab === key) t.setAttribute("aria-current", "true");
      else t.removeAttribute("aria-current");
    });
  };
  const fromAddress = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const person = target && target.closest("[data-person]");
    return person ? person.dataset.person : null;
  };
  if (tabs.length > 1) {
    open(fromAddress() || tabs[0].dataset.tab);
    tabs.forEach((t) => t.addEventListener("click", (e) => { e.preventDefault(); open(t.dataset.tab); }));
    addEventListener("hashchange", () => { const key = fromAddress(); if (key) open(key); });
  }

  const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
  document.querySelectorAll(".timeline-inner").forEach((inner) => {
    const cursor = inner.querySelector(".cursor");
    const now = inner.querySelector(".now");
    const duration = Number(inner.dataset.duration);
    const lanes = [...inner.querySelectorAll("[data-series]")].map((lane) => ({
      data: JSON.parse(lane.dataset.series),
      outputs: new Map([...lane.querySelectorAll(".key i")].map((i) => [i.className, i.parentElement.querySelector("output")])),
    }));
    const show = (event) => {
      const plot = inner.querySelector("svg").getBoundingClientRect();
      const left = Number(inner.dataset.left);
      const time = ((event.clientX - plot.left - left) / (plot.width - left)) * duration;
      if (time < 0 || time > duration) return hide();
      cursor.hidden = false;
      cursor.style.left = `${event.clientX - inner.getBoundingClientRect().left}px`;
      now.textContent = clock(time);
      lanes.forEach(({ data, outputs }) => {
        const i = Math.round((time - data.t0) / data.dt);
        data.css.forEach((css, j) => {
          const value = i >= 0 ? data.values[j][i] : null;
          outputs.get(css).textContent = value === null || value === undefined ? "" : `${value}${data.unit}`;
        });
      });
    };
    const hide = () => {
      cursor.hidden = true;
      inner.querySelectorAll("output").forEach((o) => { o.textContent = ""; });
    };
    inner.addEventListener("pointermove", show);
    inner.addEventListener("pointerdown", show);
    inner.addEventListener("pointerleave", hide);
  });
})();
