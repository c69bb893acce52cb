# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The shield as an operator drives it: the real command line, with pins and state that vanish with the lab."""

import json
import os


class Shield:
    def __init__(self, lab, build, name="shield"):
        self.lab = lab
        self.bulwark = build / "bulwark"
        self.pin_dir = lab.room / "bpf" / name
        self.state_dir = lab.room / "state" / name
        self.environment = {**os.environ, "BULWARK_PIN_DIR": str(self.pin_dir), "BULWARK_STATE_DIR": str(self.state_dir)}
        self.on = False

    def __call__(self, *arguments, **options):
        return self.lab.run("node", self.bulwark, *arguments, env=self.environment, **options)

    def apply(self, policy, interface):
        """--ephemeral: the pins are in the lab's own mounts, and end with them."""
        self("apply", policy, "--iface", interface, "--ephemeral")
        self.on = True

    def down(self):
        self.on = False
        self("down")

    def status(self):
        """Also when something is wrong: a lab adds interfaces and addresses under a live policy."""
        return json.loads(self("status", "--json", check=False))

    def packets(self):
        """What was counted since the first apply: (verdict, reason) -> packets."""
        if not self.on:
            return {}
        return {(row["verdict"], row["reason"]): row["packets"] for row in self.status()["packets"]}

    def drops(self):
        return {reason: count for (verdict, reason), count in self.packets().items() if verdict == "drop"}
