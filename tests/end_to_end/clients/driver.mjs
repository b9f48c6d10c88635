// Runs the unmodified client libraries for the Python tests.
//
// One JSON command per line on stdin, one JSON line on stdout for each reply and each report:
//   command  {"id": 7, "operation": "subscribe", "client": "pusher-js-1", "channel": "news"}
//   reply    {"reply": 7, "result": …}  or  {"reply": 7, "error": {"name", "message", …}}
//   report   {"report": "event", "client": "pusher-js-1", …}, whenever a library calls back
// A reply says only that the library was called; what follows from it comes as reports.
// The program ends when stdin does.

import { Console } from 'node:console'
import { createInterface } from 'node:readline'

import Echo from 'laravel-echo'
import ServerLibrary from 'pusher'
import PusherJs from 'pusher-js'

// stdout carries the protocol; whatever a library logs goes to stderr.
globalThis.console = new Console(process.stderr)

const clients = new Map()

function write(line) {
  // Errors have no enumerable properties, so JSON would show them as {}.
  const readable = (_key, value) =>
    value instanceof Error ? { name: value.name, message: value.message, ...value } : value
  process.stdout.write(`${JSON.stringify(line, readable)}\n`)
}

// --- publishing and authorizing: npm pusher ---

function serverLibrary({ host, port, app_id, key, secret, master_key }) {
  return new ServerLibrary({
    host,
    port: String(port),
    appId: app_id,
    key,
    secret,
    useTLS: false,
    encryptionMasterKeyBase64: master_key ?? undefined,
  })
}

async function answer(request) {
  const response = await request
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text) }
}

function signer({ app, user, socket_id }) {
  const library = serverLibrary(app)
  return (socketId, channel) =>
    library.authorizeChannel(
      socket_id ?? socketId,
      channel,
      channel.startsWith('presence-') ? (user ?? undefined) : undefined,
    )
}

// --- receiving: pusher-js and laravel-echo ---

function connectionOptions({ host, port }) {
  return { wsHost: host, wsPort: port, forceTLS: false, enabledTransports: ['ws'], cluster: '' }
}

// The current form of pusher-js's authorization options.
function channelAuthorization(authorization) {
  if (!authorization) return {}
  const { endpoint, user } = authorization
  if (endpoint) {
    const params = { user: JSON.stringify(user ?? null) }
    const url = `${endpoint}/pusher/auth`
    return { channelAuthorization: { endpoint: url, transport: 'ajax', params } }
  }
  const sign = signer(authorization)
  return {
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, callback) =>
        callback(null, sign(socketId, channelName)),
    },
  }
}

// The older form, which Echo documents and passes on to pusher-js.
function echoAuthorization(authorization) {
  if (!authorization) return {}
  const { endpoint, user } = authorization
  if (endpoint) {
    const params = { user: JSON.stringify(user ?? null) }
    return { authEndpoint: `${endpoint}/pusher/auth`, auth: { headers: {}, params } }
  }
  const sign = signer(authorization)
  return {
    authorizer: (channel) => ({
      authorize: (socketId, callback) => callback(null, sign(socketId, channel.name)),
    }),
  }
}

// For signin(): the user is who `user` says, as a session would tell a real application.
function userAuthentication(authentication) {
  if (!authentication) return {}
  const { app, endpoint, user, socket_id } = authentication
  if (endpoint) {
    const params = { user: JSON.stringify(user) }
    const url = `${endpoint}/pusher/user-auth`
    return { userAuthentication: { endpoint: url, transport: 'ajax', params } }
  }
  return {
    userAuthentication: {
      customHandler: ({ socketId }, callback) =>
        callback(null, serverLibrary(app).authenticateUser(socket_id ?? socketId, user)),
    },
  }
}

// Global bindings are called before bindings by name, so each message is reported before the
// event that pusher-js makes of it: who has waited for the event finds the message, too.
function reportConnection(client, pusher) {
  const reports = {
    state_change: ({ previous, current }) => ({ report: 'state', previous, current }),
    error: (error) => ({ report: 'failure', error }),
    message: ({ event, channel, data, user_id }) =>
      ({ report: 'message', event, channel, data, user_id }),
  }
  pusher.connection.bind_global((name, value) => {
    if (name in reports) write({ client, ...reports[name](value) })
  })
}

// A global binding sees every event, but not the metadata that comes with it. A binding by name
// that it makes still gets the event being dispatched, as those are called later.
function bindEveryName(emitter, callback) {
  const bound = new Set()
  emitter.bind_global((event) => {
    if (bound.has(event)) return
    bound.add(event)
    emitter.bind(event, (data, metadata) => callback(event, data, metadata))
  })
}

function reportEvents(client, channel) {
  bindEveryName(channel, (event, data, metadata) =>
    write({
      report: 'event',
      client,
      channel: channel.name,
      event,
      data,
      user_id: metadata?.user_id,
    }),
  )
}

function reportUser(client, { user }) {
  bindEveryName(user, (event, data) => write({ report: 'user_event', client, event, data }))
  for (const state of ['online', 'offline']) {
    user.watchlist.bind(state, ({ name, user_ids }) =>
      write({ report: 'watched', client, name, user_ids }),
    )
  }
}

function echoChannel({ client, kind, channel }) {
  const { echo } = clients.get(client)
  const open = {
    public: 'channel',
    private: 'private',
    encrypted: 'encryptedPrivate',
    presence: 'join',
  }[kind]
  return echo[open](channel)
}

const operations = {
  connect_pusher_js({ client, app, authorization, authentication }) {
    const pusher = new PusherJs(app.key, {
      ...connectionOptions(app),
      ...channelAuthorization(authorization),
      ...userAuthentication(authentication),
    })
    clients.set(client, { pusher, reported: new WeakSet() })
    reportConnection(client, pusher)
    reportUser(client, pusher)
  },

  connect_echo({ client, app, authorization, authentication, broadcaster }) {
    const echo = new Echo({
      broadcaster,
      Pusher: PusherJs,
      key: app.key,
      ...connectionOptions(app),
      ...echoAuthorization(authorization),
      ...userAuthentication(authentication),
    })
    const { pusher } = echo.connector
    clients.set(client, { echo, pusher })
    reportConnection(client, pusher)
    reportUser(client, pusher)
  },

  disconnect({ client }) {
    const { echo, pusher } = clients.get(client)
    ;(echo ?? pusher).disconnect()
  },

  status({ client }) {
    const { echo, pusher } = clients.get(client)
    return {
      state: pusher.connection.state,
      socket_id: pusher.connection.socket_id,
      echo: echo?.connectionStatus(),
      user_id: pusher.user.user_data?.id,
    }
  },

  sign_in({ client }) {
    const { echo, pusher } = clients.get(client)
    ;(echo?.connector ?? pusher).signin()
  },

  ping({ client }) {
    return clients.get(client).pusher.send_event('pusher:ping', {})
  },

  subscribe({ client, channel: name }) {
    const { pusher, reported } = clients.get(client)
    const channel = pusher.subscribe(name)
    if (reported.has(channel)) return
    reported.add(channel)
    reportEvents(client, channel)
  },

  unsubscribe({ client, channel }) {
    clients.get(client).pusher.unsubscribe(channel)
  },

  trigger({ client, channel, event, data }) {
    return clients.get(client).pusher.channel(channel).trigger(event, data)
  },

  members({ client, channel }) {
    const { count, members, me } = clients.get(client).pusher.channel(channel).members
    return { count, members, me }
  },

  subscription_count({ client, channel }) {
    return clients.get(client).pusher.channel(channel).subscriptionCount
  },

  // `callbacks` are names of Echo's methods that take only a callback, `listen` and `whispers`
  // the arguments of listen() and listenForWhisper().
  echo_subscribe({ client, kind, channel: name, callbacks, listen, whispers }) {
    const channel = echoChannel({ client, kind, channel: name })
    const heard = (method, argument) => (data) =>
      write({ report: 'heard', client, channel: channel.name, method, argument, data })
    for (const method of callbacks) channel[method](heard(method))
    for (const event of listen) channel.listen(event, heard('listen', event))
    for (const event of whispers) channel.listenForWhisper(event, heard('whisper', event))
    return channel.name
  },

  echo_whisper({ client, kind, channel, event, data }) {
    echoChannel({ client, kind, channel }).whisper(event, data)
  },

  echo_leave({ client, channel }) {
    clients.get(client).echo.leave(channel)
  },

  sdk_trigger({ app, channels, event, data, params }) {
    return answer(serverLibrary(app).trigger(channels, event, data, params))
  },

  sdk_trigger_batch({ app, batch }) {
    return answer(serverLibrary(app).triggerBatch(batch))
  },

  sdk_get({ app, path, params }) {
    return answer(serverLibrary(app).get({ path, params }))
  },

  sdk_post({ app, path, params, body }) {
    return answer(serverLibrary(app).post({ path, params, body }))
  },

  sdk_send_to_user({ app, user_id, event, data }) {
    return answer(serverLibrary(app).sendToUser(user_id, event, data))
  },

  sdk_terminate_user_connections({ app, user_id }) {
    return answer(serverLibrary(app).terminateUserConnections(user_id))
  },
}

async function carryOut({ id, operation, ...rest }) {
  try {
    const result = await operations[operation](rest)
    write({ reply: id, result: result ?? null })
  } catch (error) {
    write({ reply: id, error: error instanceof Error ? error : new Error(String(error)) })
  }
}

for await (const line of createInterface({ input: process.stdin })) carryOut(JSON.parse(line))
process.exit(0)
