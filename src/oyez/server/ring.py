"""One system call for many sends: an io_uring of Linux, driven through ctypes.

Sending the same bytes to a thousand sockets is a thousand calls of ``os.write``; here up to 256
sends are written into memory that is shared with the kernel and handed over by one call. Every
send is done when that call returns: a socket that would have to wait says so instead.

The layout is that of ``linux/io_uring.h``; the numbers of the system calls are the same on all
architectures that CPython runs on.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from array import array

__all__ = ["Ring"]

_SETUP, _ENTER = 425, 426  # system calls
_OFFSET_SQES = 0x10000000
_SINGLE_MMAP = 1  # feature: both queues are in one mapping (Linux 5.4)
_GETEVENTS = 1
_OP_SEND = 26
_ENTRIES = 256
_COUNTER = 0xFFFFFFFF  # heads and tails only grow, and wrap
# sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd, three reserved;
# then two tables of offsets, of the submission queue and of the completion queue.
_PARAMETERS = struct.Struct("10I8IQ8IQ")
# opcode, flags, ioprio, fd, off, addr, len, msg_flags, user_data; the rest is zero.
_SUBMISSION = struct.Struct("BBHiQQIIQ24x")
_SUBMISSION_WORDS, _COMPLETION_WORDS = 16, 4  # of 32 bits
_FD, _SIZE = 1, 6  # words of a submission
_ADDRESS, _SUBMISSION_LONGS = 2, 8  # likewise, of 64 bits
_RESULT = 2  # word of a completion; the first two are its user_data


class Ring:
    """Sends the same bytes to many sockets. Not for use by several threads at once.

    Raises:
        OSError: the kernel has no io_uring, or this process may not use it, as in most containers.
    """

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "io_uring is part of Linux")
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.argtypes = [ctypes.c_long] * 7
        self._call.restype = ctypes.c_long
        parameters = bytearray(_PARAMETERS.size)
        address = ctypes.addressof(ctypes.c_char.from_buffer(parameters))
        self._descriptor = self._system_call(_SETUP, _ENTRIES, address)
        try:
            self._map(_PARAMETERS.unpack(parameters))
        except BaseException:
            os.close(self._descriptor)
            raise
        self._prepare()

    def _map(self, parameters: tuple[int, ...]) -> None:
        """See the memory that is shared with the kernel as arrays of integers."""
        entries, completions = parameters[0], parameters[1]
        if not parameters[5] & _SINGLE_MMAP or entries != _ENTRIES:
            raise OSError(errno.ENOSYS, "this kernel's io_uring is too old")
        sq, cq = parameters[10:19], parameters[19:28]
        size = max(sq[6] + 4 * entries, cq[5] + 4 * _COMPLETION_WORDS * completions)
        queues = memoryview(mmap.mmap(self._descriptor, size))
        size = 4 * _SUBMISSION_WORDS * entries
        self._submissions = memoryview(mmap.mmap(self._descriptor, size, offset=_OFFSET_SQES))
        self._queues, self._results = queues.cast("I"), queues.cast("i")
        self._words, self._longs = self._submissions.cast("i"), self._submissions.cast("Q")
        self._sq_head, self._sq_tail, self._order = sq[0] // 4, sq[1] // 4, sq[6] // 4
        self._cq_head, self._cq_tail, self._completions = cq[0] // 4, cq[1] // 4, cq[5] // 4
        self._completion_mask = completions - 1

    def _prepare(self) -> None:
        """What is the same for all sends is written once."""
        flags = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT
        for slot in range(_ENTRIES):
            at = slot * _SUBMISSION.size
            _SUBMISSION.pack_into(self._submissions, at, _OP_SEND, 0, 0, -1, 0, 0, 0, flags, slot)
            self._queues[self._order + slot] = slot

    def send(self, descriptors: "array[int]", data: bytes) -> dict[int, int]:
        """Send ``data`` once to each socket, as far as it goes without waiting.

        Args:
            descriptors: of type ``i``; of open stream sockets, each once.

        Returns:
            For each that did not take all of it, by position: how many bytes it took, or the
            negative errno.
        """
        amiss: dict[int, int] = {}
        begun, total = 0, len(descriptors)
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        while begun < total:
            slot = self._queues[self._sq_tail] % _ENTRIES
            count = min(total - begun, _ENTRIES - slot)  # up to the end of the queue
            self._fill(slot, descriptors[begun : begun + count], address, len(data))
            done = self._submit(count)
            for at, result in self._collect(done, len(data)).items():
                amiss[begun + at - slot] = result
            for at in range(begun + done, begun + count):
                amiss[at] = -errno.EAGAIN
            begun += count
        return amiss

    def close(self) -> None:
        """Give the memory back; nothing can be sent any more."""
        os.close(self._descriptor)
        for view in (self._queues, self._results, self._words, self._longs, self._submissions):
            view.release()

    def _fill(self, slot: int, descriptors: "array[int]", address: int, size: int) -> None:
        count = len(descriptors)
        start, end = slot * _SUBMISSION_WORDS, (slot + count) * _SUBMISSION_WORDS
        self._words[start + _FD : end : _SUBMISSION_WORDS] = descriptors
        self._words[start + _SIZE : end : _SUBMISSION_WORDS] = array("i", [size]) * count
        start, end = slot * _SUBMISSION_LONGS, (slot + count) * _SUBMISSION_LONGS
        self._longs[start + _ADDRESS : end : _SUBMISSION_LONGS] = array("Q", [address]) * count

    def _submit(self, count: int) -> int:
        """Hand over what was filled in; how many of it the kernel took, which is all but always."""
        queues, tail = self._queues, self._queues[self._sq_tail]
        queues[self._sq_tail] = (tail + count) & _COUNTER
        taken = 0
        while taken < count:
            try:
                more = self._enter(count - taken)
            except OSError:  # no memory, most likely
                more = 0
            if not more:
                queues[self._sq_tail] = queues[self._sq_head]
                break
            taken += more
        return taken

    def _collect(self, count: int, size: int) -> dict[int, int]:
        """What did not send ``size`` bytes, by slot.

        Each submission has one completion, and all are collected before the next are submitted: so
        the completions of a part of one queue are a part of the other, too.
        """
        queues, head = self._queues, self._queues[self._cq_head]
        while (queues[self._cq_tail] - head) & _COUNTER < count:
            self._enter(0, wait_for=count)
        first = self._completions + (head & self._completion_mask) * _COMPLETION_WORDS
        end = first + count * _COMPLETION_WORDS
        results = self._results[first + _RESULT : end : _COMPLETION_WORDS].tolist()
        amiss = {}
        if results.count(size) < count:
            slots = queues[first:end:_COMPLETION_WORDS].tolist()
            amiss = {at: sent for at, sent in zip(slots, results, strict=True) if sent != size}
        queues[self._cq_head] = (head + count) & _COUNTER
        return amiss

    def _enter(self, submitted: int, *, wait_for: int = 0) -> int:
        flags = _GETEVENTS if wait_for else 0
        return self._system_call(_ENTER, self._descriptor, submitted, wait_for, flags)

    def _system_call(self, number: int, *arguments: int) -> int:
        """Raises OSError where the kernel does."""
        result: int = self._call(number, *arguments, *(0,) * (6 - len(arguments)))
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result
