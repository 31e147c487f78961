#!/bin/busybox sh
# The guest: a heartbeat ten times a second, and memory that checks itself.
#     BEAT <number> <seconds since its boot>
#     MEMORY <round> clean | damaged: <chunk>
# Its memory is a file system in RAM: chunks that differ from each other, each with its checksum
# taken before anybody could touch it. A page lost, or swapped for another, breaks a sum.
/bin/busybox mkdir -p /proc /memory
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=90% tmpfs /memory

beat() {
    number=0
    while :; do
        read -r up _ </proc/uptime
        number=$((number + 1))
        echo "BEAT $number $up"
        usleep 100000
    done
}

fill() {
    chunk=0
    yes "what this guest must find again" | head -c 1048000 >/alike
    while [ $chunk -lt "$CHUNKS" ]; do
        { echo "chunk $chunk"; cat /alike; } >/memory/$chunk
        chunk=$((chunk + 1))
    done
    cd /memory && md5sum * >/sums
}

check() {
    round=0
    while :; do
        round=$((round + 1))
        damaged=$(cd /memory && md5sum -c /sums 2>/dev/null | grep -v ': OK$' | tr '\n' ' ')
        if [ -z "$damaged" ]; then echo "MEMORY $round clean"; else echo "MEMORY $round damaged: $damaged"; fi
        sleep 1
    done
}

CHUNKS=64
beat &
fill
echo "MEMORY 0 filled with $CHUNKS MiB"
check
