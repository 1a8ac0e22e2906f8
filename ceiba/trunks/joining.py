"""Several groups side by side in one vector, or in one for each member of an ensemble."""

import torch

from ceiba.layers import Tokens, one_token, pool


def join_groups(groups: dict[str, Tokens]) -> Tokens:
    """Each group pooled to one vector, side by side; members stay apart, and each gets the others' vectors."""
    members = next((tokens for tokens in groups.values() if tokens.members), None)
    if members is None:
        return one_token(torch.cat([pool(tokens) for tokens in groups.values()], -1))
    count = members.values.shape[1]
    vectors = [
        tokens.values if tokens.members else pool(tokens).unsqueeze(1).expand(-1, count, -1)
        for tokens in groups.values()
    ]
    return Tokens(torch.cat(vectors, -1), members.mask, members=True)
