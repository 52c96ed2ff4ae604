"""What tokens cost: the price from the settings, or else genai-prices' table by the address.

The table is part of the package and asked offline. A model that it does not know at that address
has no price, which is not the same as being free: the same open model costs nothing on a server of
one's own and is billed in the cloud.
"""

from decimal import Decimal

from stores.connection import Connection


def cost(connection: Connection, input_tokens: int, output_tokens: int = 0) -> int | None:
    """Nano-dollars for so many tokens, or None where no price is known."""
    price = connection.price
    if price is not None:
        # A dollar for a million tokens is a thousand nano-dollars a token.
        return round(1000 * (input_tokens * price.input + output_tokens * price.output))
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    try:
        found = calc_price(usage, model_ref=connection.model, provider_api_url=connection.url)
    except LookupError:
        return None
    return int((found.total_price * Decimal(10**9)).to_integral_value())


def in_a_batch(full: int | None) -> int | None:
    """What a call costs in a batch: half, rounded up. genai-prices knows no batches."""
    return None if full is None else -(-full // 2)
