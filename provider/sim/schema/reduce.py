#!/usr/bin/env python3
"""Reduces the published XenAPI data model to the table that the simulator embeds.

usage: reduce.py xenapi-subset.json > ../src/schema/schema.json

Kept: classes, fields (type, default), messages (parameter names and types, result, least role,
implicit or not), constructors and enumerations. Dropped: prose, releases, error lists.
"""
import json
import sys

ORDER = ["read-only", "vm-operator", "vm-admin", "vm-power-admin", "pool-operator", "pool-admin"]


def least(roles):
    for role in ORDER:
        if role in roles:
            return role
    return ""


def main():
    data = json.load(open(sys.argv[1], encoding="utf-8"))
    classes = {}
    for name, cls in data["classes"].items():
        fields = [
            [f, v["type"], v.get("default")] for f, v in sorted(cls["fields"].items())
        ]
        messages = [
            [
                m,
                [[p["name"], p["type"]] for p in v["params"]],
                v["result"],
                least(v["roles"]),
                bool(v.get("implicit")),
                v["state"] == "Removed",
            ]
            for m, v in sorted(cls["messages"].items())
        ]
        ctor = [[f, v["type"], v["required"]] for f, v in sorted((cls.get("constructor") or {}).items())]
        classes[name] = {"fields": fields, "messages": messages, "constructor": ctor}
    lines = [f"  {json.dumps(n)}: {json.dumps(c, separators=(',', ':'))}" for n, c in classes.items()]
    enums = json.dumps(data["enums"], separators=(",", ":"), sort_keys=True)
    print('{"enums": ' + enums + ',\n"classes": {\n' + ",\n".join(lines) + "\n}}")


if __name__ == "__main__":
    main()
