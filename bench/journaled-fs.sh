#!/usr/bin/env bash
# bench/journaled-fs.sh up DIR MB | down DIR
# Mounts a fresh journaled ext4 image on DIR, for the queues. Needed where the
# root file system has no journal: there a sync is cheaper than in production,
# and a queue of one file per message pays for the reuse of inodes.
set -euo pipefail
verb=$1 dir=$2 image=$2.img
case $verb in
up)
  mkdir -p "$dir"
  # Written in full: the figures must not depend on the allocation of the image.
  dd if=/dev/zero of="$image" bs=1M count="$3" conv=fsync status=none
  mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "$image"
  loop=$(losetup --direct-io=on -f --show "$image")
  mount "$loop" "$dir" || { losetup -d "$loop"; exit 1; }
  chmod 755 "$dir"
  ;;
down)
  umount "$dir"
  losetup -j "$image" | cut -d: -f1 | while read -r loop; do losetup -d "$loop"; done
  rm -f "$image"
  ;;
*)
  echo "usage: $0 up DIR MB | down DIR" >&2
  exit 2
  ;;
esac
