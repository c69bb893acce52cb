# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""usage: schema.py TOOL ROOT: does the JSON Schema agree with the parser? A line for each question: `ok WORDS` or `no WORDS`.

The keys are compared with the parser's own tables (TOOL --keys). Policies are read by the parser, too (TOOL --json), so
that both see the same YAML. What the parser accepts, the schema accepts; what the parser refuses for its form (and
not for its meaning, which a schema cannot see), the schema refuses.
"""

import glob
import json
import os
import re
import subprocess
import sys

import jsonschema

# Messages about form. Duplicate keys and YAML that cannot be read never reach a schema.
FORM = re.compile(r"error: (.* is not a key of |.* is not supported by this version yet|.* is none of |"
                  r".* this is |.* has no value|there is no value|.* needs 'ports'|a test needs |.* needs 'addresses' or|a list has 'addresses' or|"
                  r".* is neither true nor false|.* is not a whole number|.* is for a list with a 'feed'|"
                  r".* is not a share|.*text is needed here|.* cannot name a|'version' is missing|"
                  r".*the port is missing|.*the protocol is missing|.*is not a rate|.*is not a burst|.*a limit needs |.*lets nothing through|.*as in ./24|.*counts .* already|.*is not a time: )")
tool, root = sys.argv[1:]


def say(verdict, words):
    print("ok" if verdict else "no", words)


def read(path):
    result = subprocess.run([tool, "--json", path], capture_output=True, check=False)
    return json.loads(result.stdout) if result.returncode == 0 else None


def main():
    with open(os.path.join(root, "policies", "policy.schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    table = {}
    for line in subprocess.run([tool, "--keys"], capture_output=True, text=True, check=True).stdout.splitlines():
        scope, key, *later = line.split()
        table.setdefault(scope, {})[key] = not later
    for scope, keys in table.items():
        definition = schema["$defs"].get(scope, {})
        in_schema, in_parser = set(definition.get("properties", {})), {key for key, now in keys.items() if now}
        if in_schema != in_parser:
            print(f"schema only: {in_schema - in_parser}; parser only: {in_parser - in_schema}", file=sys.stderr)
        say(in_schema == in_parser and definition.get("additionalProperties") is False,
            f"schema: the keys of '{scope}' are the parser's")
    here = os.path.dirname(os.path.abspath(__file__))
    for path in sorted(glob.glob(f"{root}/policies/*.yaml") + glob.glob(f"{here}/*.in")):
        name, tree = os.path.basename(path), read(path)
        expected = path[:-3]
        if path.endswith(".yaml") or os.path.exists(expected + ".ok"):
            trouble = jsonschema.exceptions.best_match(validator.iter_errors(tree))
            if trouble:
                print(f"{name}: {trouble.json_path}: {trouble.message}", file=sys.stderr)
            say(not trouble, f"schema: {name} is accepted")
        elif os.path.exists(expected + ".err") and tree is not None:
            with open(expected + ".err", encoding="utf-8") as file:
                said = [line for line in file if line.startswith(name + ":")]  # not of included files
                if any(FORM.search(line) for line in said):
                    say(not validator.is_valid(tree), f"schema: {name} is refused")


main()
