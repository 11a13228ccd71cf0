from mexcfast.core.book import Book

def hash_levels(
    bids: list[tuple[int, int, int]], asks: list[tuple[int, int, int]], price_scale: int,
    quantity_scale: int
) -> int: ...
def book_hash(book: Book) -> int: ...
