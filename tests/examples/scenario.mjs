// What two browsers do with one of the example applications; prints what they saw as JSON.
//
//   node scenario.mjs '{"app": "http://127.0.0.1:8000", "host": …, "port": …, "key": …}'

import { createRequire } from 'node:module'

import { batchAuthorization } from '../../examples/batch_auth.mjs'

const clients = new URL('../end_to_end/clients/package.json', import.meta.url)
const Pusher = createRequire(clients)('pusher-js')
const { app, host, port, key } = JSON.parse(process.argv[2])
const server = { wsHost: host, wsPort: port, forceTLS: false, enabledTransports: ['ws'], cluster: '' }

const ADA = { Authorization: 'token-of-ada' }
const BOB = { Authorization: 'token-of-bob' }
const requests = []

function counted(url, options) {
  requests.push(options.body.getAll('channel_name'))
  return fetch(url, options)
}

function happens(emitter, ...names) {
  return new Promise((resolve) => {
    for (const name of names) emitter.bind(name, (data) => resolve([name, data]))
  })
}

function answered(channel) {
  return happens(channel, 'pusher:subscription_succeeded', 'pusher:subscription_error')
}

function collected(channel) {
  const messages = []
  channel.bind('message', ({ text }) => messages.push(text))
  return messages
}

function post(path, headers, form) {
  return fetch(app + path, { method: 'POST', headers, body: new URLSearchParams(form) })
}

const ada = new Pusher(key, {
  ...server,
  channelAuthorization: { endpoint: `${app}/pusher/auth`, transport: 'ajax', headers: ADA },
  userAuthentication: { endpoint: `${app}/pusher/user-auth`, transport: 'ajax', headers: ADA },
})
const handler = batchAuthorization(`${app}/pusher/auth-batch`, { headers: BOB, fetch: counted })
const bob = new Pusher(key, { ...server, channelAuthorization: { customHandler: handler } })
await Promise.all([happens(ada.connection, 'connected'), happens(bob.connection, 'connected')])

const names = ['presence-chat', 'private-user-ada', 'private-encrypted-notes']
const ofAda = Object.fromEntries(names.map((name) => [name, ada.subscribe(name)]))
const adaHeard = await Promise.all(names.map((name) => answered(ofAda[name])))
const ofBob = Object.fromEntries(names.map((name) => [name, bob.subscribe(name)]))
const added = happens(ofAda['presence-chat'], 'pusher:member_added')
const bobHeard = await Promise.all(names.map((name) => answered(ofBob[name])))
await added

ada.signin()
await ada.user.signinDonePromise

const notes = happens(ofBob['private-encrypted-notes'], 'noted')
const [adaMessages, bobMessages] = [ofAda, ofBob].map((its) => collected(its['presence-chat']))
const last = Promise.all([ofAda, ofBob].map((its) => happens(its['presence-chat'], 'last')))
const sent = []
for (const headers of [{ ...ADA, 'X-Socket-ID': ada.connection.socket_id }, ADA]) {
  const answer = await post('/messages', headers, { text: `message ${sent.length}` })
  sent.push(answer.status)
}

process.stdout.write(
  `${JSON.stringify({
    ada: Object.fromEntries(names.map((name, at) => [name, adaHeard[at][0]])),
    bob: Object.fromEntries(names.map((name, at) => [name, bobHeard[at][0]])),
    refusal: bobHeard[1][1],
    members: ofAda['presence-chat'].members.members,
    user: ada.user.user_data,
    requests,
    sent,
  })}\n`,
)
for await (const _ of process.stdin); // the test publishes an end, and then closes this
const [, [, note]] = await Promise.all([last, notes])
process.stdout.write(`${JSON.stringify({ adaMessages, bobMessages, note })}\n`)
ada.disconnect()
bob.disconnect()
