#!/bin/busybox sh
# dom0's initramfs: load what its disk needs, and go there.
/bin/busybox mkdir -p /proc /sys /dev /newroot
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module" || echo "LAB: $module cannot be loaded"; done
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
mount -t ext4 -o noatime /dev/vda /newroot || echo "LAB: dom0's disk cannot be mounted"
for each in proc sys dev; do mount --move /$each /newroot/$each; done
exec switch_root /newroot /lab/dom0.sh
