#!/bin/bash
# Installs, upgrades, removes and purges the Debian package: packaging/try.sh PACKAGE
# For root. It all happens in namespaces, in an overlay over this system's root file system. The
# overlay keeps its changes in memory, and goes with the namespaces, as do all processes in them.
set -euEo pipefail
shopt -s nullglob
trap 'echo "packaging/try.sh:$LINENO: this does not hold: $BASH_COMMAND" >&2' ERR

if [[ ${1:?the package is missing} != --* ]]; then
    package=$(realpath "$1")
    exec unshare --mount --net --pid --fork --kill-child "${BASH_SOURCE[0]}" --overlay "$package"
fi

if [[ $1 == --overlay ]]; then
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/{upper,work,root}
    mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
    mount --rbind /dev /mnt/root/dev
    mount -t proc proc /mnt/root/proc
    mount -t tmpfs tmpfs /mnt/root/run
    mount -t tmpfs tmpfs /mnt/root/tmp
    cp "$2" /mnt/root/tmp/dropin.deb
    cp "${BASH_SOURCE[0]}" /mnt/root/tmp/try.sh
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp \
        chroot /mnt/root /tmp/try.sh --inside
fi

cd /tmp
ip link set lo up
# No file of the package may be left out. The service manager notes what is asked of it; it enables
# units, which takes files alone, and starts none.
rm -rf /etc/dpkg/dpkg.cfg.d/* /usr/sbin/policy-rc.d
mkdir -p /run/systemd/system
mv /usr/bin/systemctl /usr/bin/systemctl.real
cat >/usr/bin/systemctl <<'END'
#!/bin/sh
echo "$*" >>/tmp/asked
case "$*" in
*preset*) exec systemctl.real "$@" ;;
*is-enabled*) echo enabled ;;
esac
END
chmod +x /usr/bin/systemctl

step() {
    echo "== $*"
    : >asked
}
dpkg_() {
    dpkg --no-triggers --force-unsafe-io "$@" >dpkg.log 2>&1 || { cat dpkg.log >&2; false; }
}
as_dropin=(setpriv --reuid dropin --regid dropin --init-groups)
# The unit's ExecStart, by hand.
start_host() {
    "${as_dropin[@]}" dropin-host --config /etc/dropin/host.toml >host.out 2>host.log &
    host=$!
    until_answers "hello" dropin s echo hello
}
until_answers() {
    local expected=$1 reply=
    shift
    for _ in {1..600}; do
        reply=$("$@" 2>&1) || true
        [[ $reply != *"$expected"* ]] || return 0
        sleep 0.1
    done
    cat host.log >&2
    echo "$* answers '$reply', not '$expected'" >&2
    false
}
end_host() {
    kill -TERM "$host"
    wait "$host"
}
enabled=/etc/systemd/system/multi-user.target.wants/dropin-host.service

step "install"
dpkg_ --install dropin.deb
[[ -z $(dpkg --verify dropin) ]]
[[ $(dropin-host --version) == dropin-host\ * && $(dropin --version) == dropin\ * ]]
plugins=(/usr/lib/dropin/plugins/lib{clock,server,store,system,text}.so)
for file in "${plugins[@]}" /usr/lib/systemd/system/dropin-host.service \
    /usr/share/man/man1/dropin{,-host}.1.gz /usr/share/doc/dropin/examples/dropin-host.socket \
    /usr/share/bash-completion/completions/dropin{,-host} \
    /usr/share/zsh/vendor-completions/_dropin{,-host} \
    /usr/share/fish/vendor_completions.d/dropin{,-host}.fish; do
    [[ -s $file ]]
done
[[ $(getent passwd dropin) == *:/var/lib/dropin:/usr/sbin/nologin ]]
[[ $(stat -c "%U:%G %a" /var/lib/dropin) == "dropin:dropin 700" ]]
[[ -L $enabled ]]
grep -q " start dropin-host.service$" asked

step "serve"
start_host
[[ $(dropin s set kept pearls) == OK ]]
"${as_dropin[@]}" dropin-host key add ada --config /etc/dropin/host.toml >/dev/null 2>&1
# A plugin of the operator's own.
cp /usr/lib/dropin/plugins/libclock.so /tmp/own.so
printf own >>/tmp/own.so

step "upgrade"
sed -i 's/^log-level = .*/log-level = "warn"/' /etc/dropin/host.toml
cp /etc/dropin/host.toml own.toml
dpkg-deb --raw-extract dropin.deb next
sed -i 's/^Version: .*/Version: 99.0/' next/DEBIAN/control
printf next >>next/usr/lib/dropin/plugins/libtext.so
dpkg-deb --build -Znone next next.deb >/dev/null
dpkg_ --install next.deb
[[ $(dpkg-query --show --showformat '${Version} ${Status}' dropin) == "99.0 install ok installed" ]]
cmp own.toml /etc/dropin/host.toml
grep -q " restart dropin-host.service$" asked
# The running host takes the new plugin before it is restarted.
until_answers "generation: 2" dropin s plugin info text
end_host
start_host
[[ $(dropin s get kept) == pearls && $(dropin s loglevel) == warn ]]
"${as_dropin[@]}" dropin-host key list --config /etc/dropin/host.toml | grep -qw ada
end_host

step "remove"
cp own.so /usr/lib/dropin/plugins/libown.so
find /var/lib/dropin -type f | sort >kept
[[ $(wc -l <kept) -gt 2 ]]
dpkg_ --remove dropin
grep -q "^stop dropin-host.service$" asked
[[ ! -e /usr/bin/dropin && ! -e /usr/bin/dropin-host ]]
for file in "${plugins[@]}" /usr/lib/systemd/system/dropin-host.service; do
    [[ ! -e $file ]]
done
cmp own.toml /etc/dropin/host.toml
cmp own.so /usr/lib/dropin/plugins/libown.so
find /var/lib/dropin -type f | sort | cmp - kept

step "purge"
dpkg_ --purge dropin
[[ ! -e /etc/dropin && ! -e /var/lib/dropin && ! -L $enabled ]]
[[ ! -e /etc/systemd/system/dropin-host.service ]]
cmp own.so /usr/lib/dropin/plugins/libown.so
# Files that are left must not become another user's.
getent passwd dropin >/dev/null
echo "== the package is as it should be (${SECONDS} s)"
