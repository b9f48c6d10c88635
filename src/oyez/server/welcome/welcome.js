"use strict";

const channelName = "my-channel";
const mostShown = 100;
const at = (id) => document.getElementById(id);

function show(event, data) {
  const row = document.createElement("li");
  for (const [tag, text] of [
    ["time", new Date().toLocaleTimeString()],
    ["b", event],
    ["span", typeof data === "string" ? data : JSON.stringify(data)],
  ]) {
    row.append(Object.assign(document.createElement(tag), { textContent: text }));
  }
  at("events").querySelector(".empty")?.remove();
  at("events").prepend(row);
  while (at("events").children.length > mostShown) at("events").lastChild.remove();
}

function connect(app) {
  const pusher = new Pusher(app.key, {
    cluster: "",
    wsHost: location.hostname,
    wsPort: app.port,
    wssPort: app.port,
    wsPath: app.path,
    forceTLS: app.tls,
    enabledTransports: ["ws"],
  });
  pusher.connection.bind("state_change", ({ current }) => {
    at("state").textContent = current;
    at("state").dataset.state = current;
  });
  pusher.subscribe(channelName).bind_global((event, data) => {
    if (!event.startsWith("pusher:")) show(event, data);
  });
}

function describe(app) {
  at("app-id").textContent = app.appId;
  at("key").textContent = app.key;
  at("secret").textContent = app.secret;
  at("host").textContent = location.hostname;
  at("port").textContent = app.port;
  at("tls").textContent = app.tls ? "yes" : "no";
  at("path").textContent = app.path || "none";
  at("example").textContent = `import pusher

client = pusher.Pusher(
    app_id="${app.appId}",
    key="${app.key}",
    secret="${app.secret}",
    host="${location.hostname}",
    port=${app.port},
    ssl=${app.tls ? "True" : "False"},
)
client.trigger(
    "${channelName}", "my-event", {"a": 1}
)`;
}

async function publish(form) {
  const fields = new FormData(form);
  const response = await fetch("/welcome/events", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      name: fields.get("name"),
      channel: channelName,
      data: fields.get("data"),
    }),
  });
  const body = await response.json();
  at("answer").textContent = response.ok ? "accepted" : body.error;
}

at("publish").addEventListener("submit", (event) => {
  event.preventDefault();
  publish(event.target).catch((error) => {
    at("answer").textContent = String(error);
  });
});

fetch("/welcome/config")
  .then((response) => response.json())
  .then((app) => {
    describe(app);
    connect(app);
  });
