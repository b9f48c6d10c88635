// Subscribes to channels through the batch handler, as often as it is connected; prints what
// became of each channel as JSON, one line per connection.
//
//   node batch.mjs '{"endpoint": …, "most": 2, "channels": […], "host": …, "port": …, "key": …}'

import { createRequire } from 'node:module'

import { batchAuthorization } from '../../examples/batch_auth.mjs'

const clients = new URL('../end_to_end/clients/package.json', import.meta.url)
const Pusher = createRequire(clients)('pusher-js')
const { endpoint, most, channels, host, port, key, connections } = JSON.parse(process.argv[2])

const pusher = new Pusher(key, {
  wsHost: host,
  wsPort: port,
  forceTLS: false,
  enabledTransports: ['ws'],
  cluster: '',
  channelAuthorization: { customHandler: batchAuthorization(endpoint, { most }) },
})
const subscribed = channels.map((name) => pusher.subscribe(name))

function outcome(channel) {
  return new Promise((resolve) => {
    const done = (result) => {
      channel.unbind()
      resolve(result)
    }
    channel.bind('pusher:subscription_succeeded', () => done('succeeded'))
    channel.bind('pusher:subscription_error', ({ error }) => done(error))
  })
}

for (let left = connections; left > 0; left -= 1) {
  if (left < connections) {
    pusher.disconnect()
    pusher.connect()
  }
  const outcomes = await Promise.all(subscribed.map(outcome))
  process.stdout.write(`${JSON.stringify(outcomes)}\n`)
}
pusher.disconnect()
