"""What Linux offers to lock a process in: namespaces, Landlock, seccomp and limits, called through ctypes.

Everything here is a step downwards: what a process gives up, it never gets back, nor do its children. See
landlock(7), seccomp(2), namespaces(7), capabilities(7), getrlimit(2).
"""

import ctypes
import os
import platform
import resource
import signal
import stat
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
KEEP_CAPABILITIES, NO_NEW_PRIVILEGES, DIE_WITH_PARENT, SECCOMP, SUBREAPER = 8, 38, 1, 22, 36  # options of prctl
READ_ANY_FILE = 1 << 2  # CAP_DAC_READ_SEARCH
NOBODIES = range(61_184, 65_520)  # users who own nothing and run nothing else

# Calls that a computing process needs: name=number on x86_64/number on aarch64. Others fail with EPERM: no process is
# started, nothing executed, no socket opened, no other process signalled or read, no permission or link changed.
SYSCALLS = """
read=0/63 write=1/64 readv=19/65 writev=20/66 pread64=17/67 pwrite64=18/68 open=2/- openat=257/56 close=3/57
close_range=436/436 lseek=8/62 fstat=5/80 stat=4/- lstat=6/- newfstatat=262/79 statx=332/291 access=21/-
faccessat=269/48 faccessat2=439/439 readlink=89/- readlinkat=267/78 getcwd=79/17 chdir=80/49 fchdir=81/50
getdents=78/- getdents64=217/61 fcntl=72/25 flock=73/32 fsync=74/82 fdatasync=75/83 ftruncate=77/46
fallocate=285/47 fadvise64=221/223 dup=32/23 dup2=33/- dup3=292/24 pipe=22/- pipe2=293/59 poll=7/- ppoll=271/73
select=23/- pselect6=270/72 mkdir=83/- mkdirat=258/34 rmdir=84/- unlink=87/- unlinkat=263/35 rename=82/-
renameat=264/38 renameat2=316/276 umask=95/166 statfs=137/43 fstatfs=138/44 copy_file_range=326/285 mmap=9/222
munmap=11/215 mprotect=10/226 mremap=25/216 madvise=28/233 brk=12/214 membarrier=324/283
futex=202/98 set_robust_list=273/99 get_robust_list=274/100 rseq=334/293 set_tid_address=218/96 gettid=186/178
getpid=39/172 getppid=110/173 getuid=102/174 geteuid=107/175 getgid=104/176 getegid=108/177 getresuid=118/148
getresgid=120/150 getgroups=115/158 uname=63/160 sysinfo=99/179 getrusage=98/165 times=100/153 getrlimit=97/163
setrlimit=160/164 clock_gettime=228/113 clock_getres=229/114 clock_nanosleep=230/115 nanosleep=35/101
gettimeofday=96/169 time=201/- getitimer=36/102 setitimer=38/103 rt_sigaction=13/134 rt_sigprocmask=14/135
rt_sigreturn=15/139 rt_sigpending=127/136 rt_sigtimedwait=128/137 sigaltstack=131/132 restart_syscall=219/128
exit=60/93 exit_group=231/94 sched_yield=24/124 sched_getaffinity=204/123 sched_getparam=143/121
sched_getscheduler=145/120 arch_prctl=158/- getrandom=318/278 getcpu=309/168 wait4=61/260 waitid=247/95
clone=56/220 kill=62/129 tgkill=234/131 prlimit64=302/261 prctl=157/167 ioctl=16/29 clone3=435/435
"""
CLONE_THREAD = 0x10000
ONLY = {  # call: (argument, the values that are allowed); "self" is the process itself
    "kill": (0, ("self",)),
    "tgkill": (0, ("self",)),
    "prlimit64": (0, (0,)),
    "prctl": (0, (3, 15, 16, 0x53564D41)),  # PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA
    "ioctl": (1, (0x5401, 0x5450, 0x5451)),  # is this a terminal?, close on exec
    "fcntl": (1, (0, 1, 2, 3, 4, 1030, 1031, 1032)),  # dup, flags, size of a pipe; no locks, leases or signals
}
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of SYSCALLS, AUDIT_ARCH


class Unavailable(OSError):
    """The kernel, or the container around us, does not offer this."""


def _checked(result, what):
    if result < 0:
        error = ctypes.get_errno()
        raise Unavailable(error, f"{what}: {os.strerror(error)}")
    return result


def prctl(option, value):
    """prctl(2).

    Raises:
        Unavailable: the kernel refuses.
    """
    arguments = [ctypes.c_ulong(each) for each in (value, 0, 0, 0)]
    return _checked(LIBC.prctl(option, *arguments), f"prctl({option})")


# --- Namespaces ---


def enter_namespaces():
    """Have processes, mounts, network, shared memory and host name of one's own; the next child is process 1 there.

    Not as root, a user namespace comes first. Call it while the process has a single thread.

    Raises:
        Unavailable: not allowed here, as in most containers.
    """
    mount, uts, ipc, user, pid, net = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
    uid, gid = os.getuid(), os.getgid()
    _checked(LIBC.unshare(mount | uts | ipc | pid | net | (user if uid else 0)), "unshare")
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def mount_read_only():
    """All that is mounted becomes read-only, in this mount namespace alone.

    Raises:
        Unavailable: the kernel is older than 5.12, or refuses.
    """
    private, recursive = 1 << 18, 1 << 14
    _checked(LIBC.mount(b"none", b"/", None, ctypes.c_ulong(private | recursive), None), "mount")
    attributes = struct.pack("QQQQ", 1, 0, 0, 0)  # MOUNT_ATTR_RDONLY
    everything = 0x8000  # AT_RECURSIVE
    _checked(LIBC.syscall(442, -1, b"/", everything, attributes, len(attributes)), "mount_setattr")


def fresh_folder(path, size, files):
    """An empty folder in memory, for so many bytes and files, in place of what was mounted there before.

    Raises:
        Unavailable: not in a mount namespace of one's own.
    """
    LIBC.umount2(os.fsencode(path), 2)  # MNT_DETACH; there is nothing to unmount the first time
    options = f"size={size},nr_inodes={files},mode=777"
    nosuid_nodev = ctypes.c_ulong(2 | 4)
    _checked(LIBC.mount(b"tmpfs", os.fsencode(path), b"tmpfs", nosuid_nodev, options.encode()), f"mount {path}")


# --- Landlock ---


def landlock_version():
    """The kernel's version of Landlock; 0 where there is none."""
    return max(0, LIBC.syscall(444, None, 0, 1))


def outside(root, hidden):
    """The paths that together are `root` without what is hidden.

    Args:
        root: a folder or file.
        hidden: paths without links, which may lie in it.
    """
    root = os.path.realpath(root)
    if root in hidden:
        return []
    if not any(path.startswith(root.rstrip("/") + "/") for path in hidden):
        return [root] if os.path.exists(root) else []
    return [path for entry in os.scandir(root) if not entry.is_symlink() for path in outside(entry.path, hidden)]


def landlock(readable, writable):
    """From here on only these folders and files can be read, and only those written; no TCP, no signals to others.

    Raises:
        Unavailable: no Landlock in this kernel (5.13 or later has it), or it is switched off.
    """
    version = landlock_version()
    if not version:
        raise Unavailable("no Landlock")
    files = (1 << 13 if version < 2 else 1 << 14 if version < 3 else 1 << 15) - 1
    rules = struct.pack("QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _checked(LIBC.syscall(444, rules, size, 0), "landlock_create_ruleset")
    read, read_write = 4 | 8, files & ~1  # READ_FILE, READ_DIR; all but EXECUTE
    of_files = 4 | 2 | 1 << 14  # those rights that a file can have: read, write, truncate
    for paths, rights in ((readable, read), (writable, read_write)):
        for path in paths:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = rights if stat.S_ISDIR(os.fstat(place).st_mode) else rights & of_files
            rule = struct.pack("=Qi", allowed & files, place)
            _checked(LIBC.syscall(445, ruleset, 1, rule, 0), f"landlock_add_rule {path}")
            os.close(place)
    _checked(LIBC.syscall(446, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


# --- seccomp ---


def seccomp():
    """From here on only the calls of SYSCALLS.

    Raises:
        Unavailable: another processor than x86_64 or aarch64, or the kernel refuses.
    """
    if platform.machine() not in MACHINES:
        raise Unavailable(f"no list of system calls for {platform.machine()}")
    program = b"".join(struct.pack("HBBI", *step) for step in _filter(*MACHINES[platform.machine()]))
    steps = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    whole = Program(len(program) // 8, ctypes.cast(steps, ctypes.c_void_p))
    _checked(LIBC.prctl(SECCOMP, ctypes.c_ulong(2), ctypes.byref(whole), 0, 0), "seccomp")


def _filter(column, machine):
    """The steps of the filter, in the kernel's little language: (code, jump if true, jump if false, value)."""
    load, equal, bits, answer = 0x20, 0x15, 0x45, 0x06
    allow, refuse, missing = (answer, 0, 0, 0x7FFF0000), (answer, 0, 0, 0x50001), (answer, 0, 0, 0x50026)
    numbers = {}
    for entry in SYSCALLS.split():
        name, _, pair = entry.partition("=")
        if (number := pair.split("/")[column]) != "-":
            numbers[name] = int(number)
    steps = [(load, 0, 0, 4), (equal, 1, 0, machine), refuse, (load, 0, 0, 0)]
    for name, number in numbers.items():
        if name == "clone":  # threads, but no processes
            inner = [(load, 0, 0, 16), (bits, 0, 1, CLONE_THREAD), allow, refuse]
        elif name == "clone3":  # its flags are out of sight here; the C library then takes clone
            inner = [missing]
        elif name in ONLY:
            argument, values = ONLY[name]
            values = [os.getpid() if value == "self" else value for value in values]
            inner = [(load, 0, 0, 16 + 8 * argument)]
            inner += [step for value in values for step in ((equal, 0, 1, value), allow)] + [refuse]
        else:
            inner = [allow]
        steps += [(equal, 0, len(inner), number), *inner]
    return [*steps, refuse]


# --- Who, and how much ---


def become_nobody(user):
    """Give up all rights: as root by becoming a user who owns nothing (and may still read), else by keeping none."""
    kept = 0
    if os.geteuid() == 0:
        try:
            prctl(KEEP_CAPABILITIES, 1)
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            kept = READ_ANY_FILE
        except OSError:
            kept = 0  # a container whose root is not one: without rights it stays the user it is
    header = struct.pack("Ii", 0x20080522, 0)
    number = 126 if platform.machine() == "x86_64" else 91
    for rights in (kept, 0):
        if LIBC.syscall(number, header, struct.pack("6I", rights, rights, 0, 0, 0, 0)) == 0:
            break
    prctl(NO_NEW_PRIVILEGES, 1)


def limit(seconds, memory, file_size, threads=None):
    """Limits of this process: seconds of CPU, bytes of memory beyond what it has now, bytes of each file it writes.

    `threads` counts all processes and threads of its user; leave it out where `seccomp` forbids processes.
    """
    with open("/proc/self/statm") as file:
        has = int(file.read().split()[0]) * resource.getpagesize()
    ceilings = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: has + memory,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    ceilings |= {resource.RLIMIT_NPROC: threads} if threads else {}
    for kind, most in ceilings.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        first = kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY  # comes a signal that tells the reason
        resource.setrlimit(kind, (most, most + first))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file too large is an error, not the end


def make_forks_cheap():
    """Put this process's memory into huge pages where it can be: a fork then copies a table of some hundred entries.

    With torch imported that takes half a second, and 15 ms become 7 for each child; Linux 6.1 or later.
    """
    huge, collapse = 2**21, 25  # bytes; MADV_COLLAPSE
    with open("/proc/self/maps") as file:
        areas = [line.split() for line in file]
    for area in areas:
        if area[1].startswith("rw") and (len(area) == 5 or area[5] == "[heap]"):
            start, end = (int(address, 16) for address in area[0].split("-"))
            start, end = -(-start // huge) * huge, end // huge * huge
            if start < end:
                LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), collapse)
