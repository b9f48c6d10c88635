// Authorizes all channels that pusher-js asks for in one moment with a single request.
//
//   new Pusher(key, {
//     channelAuthorization: { customHandler: batchAuthorization('/pusher/auth-batch') },
//   })
//
// The request is a form with `socket_id` and one `channel_name` per channel. The answer is an object
// from channel name to what `authorize_channel` gives; a channel that is not in it is refused.

/**
 * @param {string} endpoint URL of the application.
 * @param {object} [options]
 * @param {HeadersInit} [options.headers] such as a CSRF token.
 * @param {RequestCredentials} [options.credentials] as of fetch.
 * @param {number} [options.delay] milliseconds to wait for more channels.
 * @param {number} [options.most] channels of one request.
 * @param {typeof fetch} [options.fetch] what sends.
 * @returns a customHandler for pusher-js
 */
export function batchAuthorization(
  endpoint,
  { headers, credentials = 'same-origin', delay = 0, most = 100, fetch = globalThis.fetch } = {},
) {
  let waiting = []

  async function ask(socketId, names) {
    const body = new URLSearchParams({ socket_id: socketId })
    for (const name of names) body.append('channel_name', name)
    const response = await fetch(endpoint, { method: 'POST', headers, credentials, body })
    if (!response.ok) throw new Error(`${endpoint} answered ${response.status}`)
    return response.json()
  }

  async function authorize(socketId, requests) {
    const names = new Set(requests.map(({ channelName }) => channelName))
    let answers = {}
    let failure = null
    try {
      answers = await ask(socketId, names)
    } catch (error) {
      failure = error
    }
    for (const { channelName, callback } of requests) {
      const answer = answers[channelName]
      if (answer) callback(null, answer)
      else callback(failure ?? new Error(`not authorized: ${channelName}`), null)
    }
  }

  function flush() {
    const bySocket = new Map()
    for (const request of waiting) {
      const { socketId } = request
      bySocket.set(socketId, [...(bySocket.get(socketId) ?? []), request])
    }
    waiting = []
    for (const [socketId, requests] of bySocket) {
      for (let at = 0; at < requests.length; at += most) {
        authorize(socketId, requests.slice(at, at + most))
      }
    }
  }

  return ({ socketId, channelName }, callback) => {
    if (!waiting.length) setTimeout(flush, delay)
    waiting.push({ socketId, channelName, callback })
  }
}
