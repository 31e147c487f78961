#!/bin/sh
# dom0's first process: the toolstack's daemons by hand, then a shell on the second serial line.
# Not on hvc0: there Xen mixes its own lines in, and drops what is longer than a 128-byte ring.
export PATH=/usr/lib/xen-4.17/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
export PYTHONPATH=/payload:/usr/lib/pagewarden
mkdir -p /dev/pts /dev/shm /run /tmp /var/log/xen/console /var/lib/xenstored /var/lib/xen /payload
mount -t devpts devpts /dev/pts
for each in /dev/shm /run /tmp /var/lib/xenstored; do mount -t tmpfs tmpfs $each; done
mkdir -p /run/xen /run/xenstored /run/lock
# Without /var/run/xen a guest's destruction fails half-way: nameless, and its memory kept.
rm -rf /var/run && ln -s /run /var/run
mount -t xenfs xenfs /proc/xen
/bin/busybox hostname dom0
ldconfig
/bin/busybox ip link set lo up
xenstored --pid-file /run/xen/xenstored.pid
tries=0
while ! xenstore-ls / >/dev/null 2>&1 && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
xen-init-dom0
xenconsoled --pid-file=/run/xen/xenconsoled.pid --log=all --log-dir=/var/log/xen/console
tar -xf /dev/vdb -C /payload || echo "LAB: the payload cannot be unpacked"
dmesg -n 1
stty -F /dev/ttyS1 115200 -echo
echo LAB-UP
if grep -q lab.systemd /proc/cmdline; then
    mkdir -p /run/systemd/system
    cp /payload/tests/xen/inside/service/lab* /run/systemd/system/
    exec /lib/systemd/systemd --unit=lab.target
fi
cd /payload
PS1='LAB-READY> ' PS2= exec setsid sh -i </dev/ttyS1 >/dev/ttyS1 2>&1
