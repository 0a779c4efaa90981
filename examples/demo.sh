#!/usr/bin/env bash
# The demo: a simulated lab, three servers from nothing to nothing, a fourth that the reaper collects, and the proof. Run it as `make demo`.
# BIN is the folder of the built binaries, TERRAFORM the terraform or tofu to use, SCALE how many times faster than a real lab the simulated one is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${BIN:?run it as: make demo}" "${TERRAFORM:?terraform or tofu must be on PATH}"
scale=${SCALE:-5}

work=$(mktemp -d)
tidy() {
  kill ${collector:-} ${simulator:-} 2>/dev/null || true
  rm -rf "$work"
}
trap tidy EXIT

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# Terraform finds the provider here and nowhere else; nothing of the caller's own terraform settings gets in.
mkdir "$work/bin"
cp "$BIN/terraform-provider-dynvm" "$work/bin/"
cat > "$work/terraform.rc" <<RC
provider_installation {
  dev_overrides { "dynvm/dynvm" = "$work/bin" }
}
RC
for name in $(env | sed -n 's/^\(TF_[A-Za-z0-9_]*\|DYNVM_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$name"; done
export TF_CLI_CONFIG_FILE="$work/terraform.rc" CHECKPOINT_DISABLE=1 TF_IN_AUTOMATION=1 TF_INPUT=0

# Runs terraform in a folder. The reminder that this provider was built here and not installed is left out.
tf() { # folder, arguments...
  local folder=$1 status=0
  shift
  "$TERRAFORM" -chdir="$work/$folder" "$@" -no-color -compact-warnings > "$work/output" 2>&1 || status=$?
  sed '/^Warning: Provider development overrides/d; /^- Provider development overrides/d; /^Warnings:$/d; /^To see the full warning notes/d' "$work/output" |
    cat -s
  [ "$status" = 0 ] || cat "$work/output" >&2
  return "$status"
}

say "A simulated lab: two pools, five hosts, ${scale} times as fast as a real one"
"$BIN/dynvm-sim" --time-scale "$scale" --tls --exit-with-parent --ready-file "$work/ready.json" --tfvars "$work/lab.auto.tfvars.json" \
  --reaper "$work/reaper.hcl" &
simulator=$!
for _ in $(seq 400); do
  [ -s "$work/ready.json" ] && break
  kill -0 "$simulator" || { echo "dynvm-sim did not start" >&2; exit 1; }
  sleep 0.05
done
for folder in quickstart capacity short_lived; do
  mkdir "$work/$folder"
  cp "$here/$folder/"*.tf "$work/lab.auto.tfvars.json" "$work/$folder/"
done
"$BIN/dynvm-sim" objects --ready-file "$work/ready.json" > "$work/before.json"

say "Capacity before"
tf capacity apply -auto-approve | sed -n '/^capacity = /,$p'

say "terraform apply: three servers"
tf quickstart apply -auto-approve | sed '1,/^Plan:/d; /^Changes to Outputs/,/^    }/d'

say "terraform plan: the second one is empty"
tf quickstart plan -detailed-exitcode | grep '^No changes'

say "Capacity with the three servers"
tf capacity apply -auto-approve | sed -n '/^capacity = /,$p'

reaper() { "$BIN/dynvm-reaper" --config "$work/reaper.hcl" --state-dir "$work/state" "$@"; }
say "A server for ten seconds that nobody destroys, and dynvm-reaper beside it"
"$BIN/dynvm-reaper" --config "$work/reaper.hcl" --state-dir "$work/state" run > "$work/reaper.log" 2>&1 &
collector=$!
tf short_lived apply -auto-approve -var "history=sqlite://$work/state/history.db" | sed '1,/^Plan:/d; /^Changes to Outputs/,/known after apply/d'
echo "dynvm-reaper list:"
reaper list
for _ in $(seq 300); do
  kill -0 "$collector" || { cat "$work/reaper.log" >&2; exit 1; }
  reaper list > "$work/list"
  grep -q ' moment ' "$work/list" || break
  sleep 0.2
done
echo "dynvm-reaper list, after its time:"
reaper list
echo "dynvm-reaper history:"
reaper history --name moment
echo "terraform plan: it is gone, and would be made anew"
tf short_lived plan | grep '^Plan:'
kill "$collector"
wait "$collector"

say "terraform destroy"
tf quickstart destroy -auto-approve | sed -n '/: Destroying/,$p'

say "What is left"
"$BIN/dynvm-sim" objects --ready-file "$work/ready.json" > "$work/after.json"
# The last ticket stays, released: the next one is counted from it.
settled() { sed -zE 's/\n +"dynvm:ticket\.([0-9]+)": "[^\n]*",\n +"dynvm:ticket\.\1\.released": "[^"\n]*",?//g; s/\{\n +\}/{}/g' "$1"; }
if diff <(settled "$work/before.json") <(settled "$work/after.json"); then
  echo "nothing left: every VM, disk, interface and setting of both pools is as it was before, but for the last released ticket."
else
  echo "something is left (see above)" >&2
  exit 1
fi
