# Run by a systemd that has just booted: the shipped unit, from its start to its stop. What came of
# each step is left in /out. The emulated host and the broker are the world that the unit is put into.
agent() { /opt/pagewarden/.venv/bin/pagewarden "$@" --socket /run/pagewarden/agent.sock; }
until_so() { for _ in $(seq 200); do "$@" && return; sleep 0.2; done; }
well() { [ "$(systemctl show pagewarden -P StatusText)" = well ]; }
has() { agent status --json > /out/status.json; grep -q "$1" /out/status.json; }

echo 'xen:x:990:' >> /etc/group
mkdir -p /etc/pagewarden && cp /opt/world/agent.toml /etc/pagewarden/
ip link set lo up
mosquitto -p 1883 > /out/mosquitto.log 2>&1 &
/opt/pagewarden/.venv/bin/pagewarden emulator --sockets /run/world > /out/emulator.log 2>&1 &
until_so test -S /run/world/hypercall.sock -a -S /run/world/toolstack.sock
chgrp xen /run/world /run/world/*.sock && chmod 0770 /run/world && chmod 0660 /run/world/*.sock

systemctl start pagewarden; echo $? > /out/start
until_so has '"observed":[3-9]'  # between two looks there may be more
until_so well
systemctl show pagewarden > /out/running
pid=$(systemctl show pagewarden -P MainPID)
cat "/proc/$pid/status" > /out/process; cat /proc/1/status > /out/first
for each in 1 "$pid"; do readlink "/proc/$each"/ns/{ipc,mnt,net,user,uts} > "/out/ns-$each"; done
mv "/out/ns-$pid" /out/ns

sed -i s/observe/enforce/ /etc/pagewarden/agent.toml
systemctl reload pagewarden; echo $? > /out/reload
[ "$(cat /out/reload)" = 0 ] || exit
until_so has '"retired":3'
agent case c1 --json > /out/case.json

systemctl kill -s KILL pagewarden
until_so agent status > /out/restarted 2>&1
systemctl show pagewarden > /out/again

systemctl stop pagewarden; echo $? > /out/stop
systemctl show pagewarden > /out/stopped
journalctl -u pagewarden -o json --no-pager > /out/journal
