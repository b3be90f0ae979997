"""Writers of metrics, and the run console."""

from grail_framework.logging.writer import MultiWriter, Writer, WriterContext

__all__ = ["MultiWriter", "Writer", "WriterContext"]
