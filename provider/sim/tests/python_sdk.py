"""A server's whole life through the official Python SDK. usage: python_sdk.py URL MEMBER_URL USER PASSWORD"""

import sys
import time

import XenAPI

url, member_url, user, password = sys.argv[1:5]


def fails(code, call, *args):
    try:
        call(*args)
    except XenAPI.Failure as failure:
        assert failure.details[0] == code, failure.details
        return failure.details[1:]
    raise AssertionError(f"{code} was expected")


# Login, and its failures.
session = XenAPI.Session(url + "/")
fails("SESSION_AUTHENTICATION_FAILED", session.xenapi.login_with_password, user, "wrong", "1.0", "oracle")
session.xenapi.login_with_password(user, password, "1.0", "oracle")
x = session.xenapi
member = XenAPI.Session(member_url + "/")
(address,) = fails("HOST_IS_SLAVE", member.xenapi.login_with_password, user, password, "1.0", "oracle")
assert url.endswith(address), address

# The world.
pool = x.pool.get_all()[0]
assert x.pool.get_master(pool) in x.host.get_all()
records = x.VM.get_all_records()
templates = [r for r, v in records.items() if v["name_label"] == "tmpl-debian12" and v["is_a_template"]]
assert templates == x.VM.get_by_name_label("tmpl-debian12"), templates
template = templates[0]
assert sum(v["is_default_template"] for v in records.values()) >= 30
assert {v["domid"] for v in records.values() if v["is_control_domain"]} == {"0"}
found = x.VM.get_all_records_where('field "name__label"="tmpl-debian12" and field "is_a_template"="true"')
assert found == {template: records[template]}

# Failures carry their parameters.
assert fails("HANDLE_INVALID", x.VM.get_record, "OpaqueRef:nothing") == ["VM", "OpaqueRef:nothing"]
assert fails("MESSAGE_METHOD_UNKNOWN", x.VM.fly, "x") == ["VM.fly"]
assert fails("MESSAGE_PARAMETER_COUNT_MISMATCH", x.VM.start, template) == ["VM.start", "4", "2"]
assert fails("VM_IS_TEMPLATE", x.VM.start, template, False, False) == [template, "start"]

# Clone and configure.
vm = x.VM.clone(template, "oracle")
assert x.VM.get_is_a_template(vm) is True
x.VM.set_is_a_template(vm, False)
fails("MEMORY_CONSTRAINT_VIOLATION_ORDER", x.VM.set_memory_limits, vm, "2", "1", "1", "1")
gib = str(1 << 30)
x.VM.set_memory_limits(vm, str(1 << 28), gib, gib, gib)
x.VM.set_VCPUs_max(vm, "4")
x.VM.set_VCPUs_at_startup(vm, "4")
x.VM.add_to_other_config(vm, "oracle", "1")
assert fails("MAP_DUPLICATE_KEY", x.VM.add_to_other_config, vm, "oracle", "1") == ["VM", "other_config", vm, "oracle"]
x.VM.remove_from_other_config(vm, "oracle")
x.VM.remove_from_other_config(vm, "oracle")
x.VM.set_tags(vm, ["a & b", "<c>"])
assert sorted(x.VM.get_tags(vm)) == ["<c>", "a & b"]

# Start as a task, and its address by events.
token = x.event.inject("pool", pool)
task = x.Async.VM.start(vm, False, False)
while x.task.get_status(task) == "pending":
    batch = getattr(x.event, "from")(["task/" + task], token, 5.0)
    token = batch["token"]
record = x.task.get_record(task)
assert record["status"] == "success" and record["result"] == "<value></value>", record
x.task.destroy(task)
fails("HANDLE_INVALID", x.task.get_status, task)
address, token = None, ""
deadline = time.monotonic() + 60
while address is None and time.monotonic() < deadline:
    metrics = x.VM.get_guest_metrics(vm)
    batch = getattr(x.event, "from")(["vm/" + vm, "vm_guest_metrics/" + metrics], token, 5.0)
    token = batch["token"]
    assert isinstance(batch["valid_ref_counts"]["vm"], int)
    for event in batch["events"]:
        if event["class"] == "vm_guest_metrics" and "snapshot" in event:
            address = event["snapshot"]["networks"].get("0/ip", address)
assert address and address.startswith("10.1."), address
running = x.VM.get_record(vm)
assert running["power_state"] == "Running" and running["resident_on"] in x.host.get_all()
assert vm in x.host.get_resident_VMs(running["resident_on"])
assert running["memory_dynamic_max"] == gib
bad_state = fails("VM_BAD_POWER_STATE", x.VM.destroy, vm)
assert bad_state == [vm, "halted, suspended", "running"], bad_state

# A failed task tells why.
task = x.Async.VM.clone(vm, "no")
while x.task.get_status(task) == "pending":
    time.sleep(0.02)
assert x.task.get_error_info(task) == ["VM_BAD_POWER_STATE", vm, "halted", "running"], x.task.get_record(task)

# The end.
disks = [x.VBD.get_VDI(b) for b in x.VM.get_VBDs(vm) if x.VBD.get_type(b) == "Disk"]
assert fails("VDI_IN_USE", x.VDI.destroy, disks[0])[0] == disks[0]
x.VM.hard_shutdown(vm)
assert x.VM.get_domid(vm) == "-1" and x.VM.get_resident_on(vm) == "OpaqueRef:NULL"
x.VM.destroy(vm)
for disk in disks:
    assert x.VDI.get_VBDs(disk) == []
    x.VDI.destroy(disk)
fails("HANDLE_INVALID", x.VM.get_record, vm)
now = x.host.get_servertime(x.pool.get_master(pool))
assert len(now.value) == len("20261120T00:00:00Z"), now.value
session.xenapi.session.logout()
print("done")
