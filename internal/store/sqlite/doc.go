// Package sqlite is the embedded storage engine: one SQLite file in WAL mode.
//
// One goroutine, the committer, owns the only connection that writes. Whatever
// is asked for while it commits forms the next group, and a lone request is
// committed at once; a request is answered after the group's fsync and not
// before. Settlements may wait for company, 20 ms at most. Requests are applied
// one by one within the group's transaction; if one of them fails, the group is
// rolled back and each request gets a transaction of its own, so that a fault
// of one is not the fault of its neighbours.
//
// The write-ahead log is overwritten instead of grown. Automatic checkpoints are
// off. A second connection checkpoints PASSIVE beside the commits; when the log
// has passed 64 MB, the committer itself runs a RESTART between two groups, when
// next to nothing is left to copy. Readers use connections of their own and
// short statements only, for a long read would hold up the restart.
//
// Messages leave a reserve of the disk free, for their outcomes and for
// checkpoints: a queue on a full disk that could not even forget would be stuck,
// and repeat every delivery when it is killed. A message that would use the
// reserve is refused with store.ErrFull. When a commit fails of the disk, its
// messages are refused at once and its outcomes get a transaction of their own.
//
// Pages are of 16 KB, set on a new file before WAL and read back. Commits are
// synchronous=FULL.
//
// A commit whose sync fails is harmless: the next one writes the same frames of
// the log again. A checkpoint whose sync fails is not: pages that an earlier part
// of it wrote are taken for copied, and may be lost. The engine then takes no
// message and makes no checkpoint any more, and leaves the whole log to the next
// Open, which copies all of it again. To open the file anew at once would be
// wrong in the first case: what the failed commit wrote would be read from the
// kernel's memory and built upon, although the disk does not have it.
//
// Row ids are computed: content row n of message m is m<<20|n, and so is
// delivery n. No index but the tables' own is needed, and a message's rows are a
// range.
//
// The file belongs to one process: who opens it holds the data directory's
// lock. All other nodes are gone by definition, so Claim adopts what they left.
package sqlite
