# The bench's own programs: each is native/NAME.c. Read by bench/CMakeLists.txt, which builds each by
# itself, and by the wheel, which puts all of them into one file.
set(BENCH_PLAIN send_stream send_zmq recv_raw recv_libzmq read_memory write_columns)
set(BENCH_ENGINE recv_engine recv_steps feed_engine feed_journal memory_engine stages)
