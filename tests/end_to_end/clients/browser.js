// Evaluated in a page that has pusher-js as `Pusher`: keeps what clients report and waits for it.

class Client {
  constructor(key, options) {
    this.reports = []
    this.waiting = new Set()
    this.pusher = new Pusher(key, options)
    const { connection, user } = this.pusher
    connection.bind('state_change', ({ current }) => this.report({ kind: 'state', current }))
    connection.bind('error', (error) => this.report({ kind: 'error', error }))
    connection.bind('message', ({ event, channel, data }) =>
      this.report({ kind: 'message', event, channel, data }),
    )
    user.bind_global((event, data) => this.report({ kind: 'user', event, data }))
  }

  report(report) {
    this.reports.push(report)
    for (const check of this.waiting) check()
  }

  reportsOf(kind) {
    return this.reports.filter((report) => report.kind === kind)
  }

  // The last of the first `count` reports that have these fields, once there are so many.
  wait(kind, fields, count, seconds) {
    return new Promise((resolve, reject) => {
      const matches = (report) =>
        Object.entries(fields).every(([name, value]) => report[name] === value)
      const check = () => {
        const found = this.reportsOf(kind).filter(matches)
        if (found.length < count) return
        stop()
        resolve(found[count - 1])
      }
      const stop = () => {
        clearTimeout(timer)
        this.waiting.delete(check)
      }
      const giveUp = () => {
        stop()
        const seen = this.reports.map((report) => JSON.stringify(report).slice(0, 200)).join('\n')
        reject(new Error(`no ${kind} ${JSON.stringify(fields)} (${count} in all); reports:\n${seen}`))
      }
      const timer = setTimeout(giveUp, seconds * 1000)
      this.waiting.add(check)
      check()
    })
  }

  state() {
    return this.pusher.connection.state
  }

  transport() {
    return this.pusher.connection.connection.transport.name
  }

  socketId() {
    return this.pusher.connection.socket_id
  }

  subscribe(name) {
    this.pusher
      .subscribe(name)
      .bind_global((event, data) => this.report({ kind: 'event', channel: name, event, data }))
  }

  trigger(channel, event, data) {
    return this.pusher.channel(channel).trigger(event, data)
  }

  signIn() {
    this.pusher.signin()
  }
}

const clients = []

window.oyez = {
  clients,
  connect(key, options) {
    return clients.push(new Client(key, options)) - 1
  },
}
