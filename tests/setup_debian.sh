#!/bin/sh
# The tests' real parts that come from Debian: a second broker, a browser, a system-call fault injector.
# Installs them where this runs as root, else says what is missing; the tests that need a missing part then skip loudly
# (and fail in CI).
set -eu
missing=""
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v chromium >/dev/null || missing="$missing chromium"
command -v strace >/dev/null || missing="$missing strace"
command -v systemd-analyze >/dev/null || missing="$missing systemd"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "Missing Debian packages:$missing (install them with: apt install$missing)"
	exit 0
fi
echo "Installing Debian packages:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive

install() {
	# shellcheck disable=SC2086
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing fonts-noto-cjk
}

# On a fresh machine, dpkg has been seen to fail half way because apt's own copies of the archives were gone from /tmp
# ("cannot access archive '/tmp/apt-dpkg-install-…'": something tidied up there). Finishing what is half installed and
# asking again is then enough, so that is done once before this fails.
if ! install >"$log" 2>&1; then
	echo "apt failed, trying once more; it said:"
	tail -n 5 "$log"
	apt-get -f install -y -qq --no-install-recommends >"$log" 2>&1 || true
	if ! install >>"$log" 2>&1; then
		echo "apt failed again; it said:" >&2
		tail -n 20 "$log" >&2
		exit 1
	fi
fi
