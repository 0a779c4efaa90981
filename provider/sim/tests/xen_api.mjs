// Xen Orchestra's client watches a server's life. usage: xen_api.mjs MODULES URL USER PASSWORD TRANSPORT
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { once } from 'node:events'

const [modules, url, user, password, transport] = process.argv.slice(2)
const { createClient } = createRequire(`${modules}/`)('xen-api')

const xapi = createClient({ url, auth: { user, password }, allowUnauthorized: true, transport, watchEvents: true })
xapi.on('error', error => { throw error })
await xapi.connect()
await xapi.objectsFetched

const all = () => Object.values(xapi.objects.all)
const template = all().find(o => o.$type === 'VM' && o.name_label === 'tmpl-ubuntu22' && o.is_a_template)
assert(template, 'the template is among the objects')
assert(all().some(o => o.$type === 'host') && all().some(o => o.$type === 'SR'))
assert.equal(template.is_a_snapshot, false)

async function until(what, predicate) {
  const end = Date.now() + 60e3
  for (;;) {
    const found = predicate()
    if (found) return found
    assert(Date.now() < end, `${what} was not seen`)
    await Promise.race([once(xapi.objects, 'finish'), new Promise(resolve => setTimeout(resolve, 500))])
  }
}

const ref = await xapi.callAsync('VM.clone', template.$ref, 'seen by events')
const uuid = await xapi.getField('VM', ref, 'uuid')
await until('the new VM', () => xapi.objects.all[uuid])
await xapi.call('VM.set_is_a_template', ref, false)
await xapi.callAsync('VM.start', ref, false, false)
await until('Running', () => xapi.objects.all[uuid].power_state === 'Running')
await until('an address', () => {
  const metrics = all().find(o => o.$ref === xapi.objects.all[uuid].guest_metrics)
  return metrics?.networks['0/ip']
})
await assert.rejects(xapi.callAsync('VM.clone', ref, 'no'), error => error.code === 'VM_BAD_POWER_STATE')
await xapi.callAsync('VM.hard_shutdown', ref)
const disks = []
for (const vbd of await xapi.getField('VM', ref, 'VBDs')) {
  const record = await xapi.getRecord('VBD', vbd)
  if (record.type === 'Disk') disks.push(record.VDI)
}
await xapi.callAsync('VM.destroy', ref)
for (const disk of disks) await xapi.callAsync('VDI.destroy', disk)
await until('the end of the VM', () => xapi.objects.all[uuid] === undefined)
await xapi.disconnect()
console.log('done')
process.exit(0)
