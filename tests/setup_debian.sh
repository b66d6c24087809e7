#!/bin/sh
# The tests' real parts that come from Debian: a second broker, a browser, a system-call fault injector.
# Installs them where this runs as root, else says what is missing; the tests that need a missing part then skip loudly
# (and fail in CI).
set -eu
missing=""
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v chromium >/dev/null || missing="$missing chromium"
command -v strace >/dev/null || missing="$missing strace"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "Installing Debian packages:$missing"
	apt-get update -qq
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing fonts-noto-cjk >/dev/null
else
	echo "Missing Debian packages:$missing (install them with: apt install$missing)"
fi
