#!/usr/bin/env bash
# Installs the packages of packages.txt that are missing. Says nothing and takes no time when none is.
# Services that the packages bring (nginx, ssh, tor, danted) are not started: the lab starts its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
log=build/setup.log

mapfile -t wanted < <(sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' packages.txt)

# dpkg-query fails when one is unknown to it; what is installed it still prints.
installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
  grep -qFx "installed $package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install --no-install-recommends -y ${missing[*]}"
if [ "$(id -u)" -ne 0 ]; then
  echo "dev: ${#missing[@]} packages are missing; as root run: $install" >&2
  exit 1
fi

# While this file stands, dpkg's maintainer scripts start no service.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

echo "setup: installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
mkdir -p build
if ! { apt-get update -q && $install -q -o Dpkg::Use-Pty=0; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "dev: installing failed; the whole log is $log; the command was: $install" >&2
  exit 1
fi
