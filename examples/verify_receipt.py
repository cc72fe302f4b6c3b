# Verify a receipt: python verify_receipt.py RECEIPT JWKS (files or URLs). Exit 0 and a sentence if it holds, else 1.
import base64, hashlib, json, sys, urllib.request
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def decoded(text):
    return base64.b64decode(text + "==", b"-_")


def root_of(node, at, size, path):  # RFC 6962 section 2.1: a tree splits at the largest power of two below its size
    if (at, size, path) == (0, 1, []):
        return node
    half, step, rest = 1 << (size - 1).bit_length() - 1, bytes.fromhex(path[-1]), path[:-1]
    pair = root_of(node, at, half, rest) + step if at < half else step + root_of(node, at - half, size - half, rest)
    return hashlib.sha256(b"\1" + pair).digest()


def verified(receipt, jwks):
    keys = {key["kid"]: decoded(key["x"]) for key in jwks["keys"]}
    signed, _, signature = receipt.rpartition(".")
    head, claims = (json.loads(decoded(part)) for part in signed.split("."))
    Ed25519PublicKey.from_public_bytes(keys[head["kid"]]).verify(decoded(signature), signed.encode())
    origin, size, root, _, line = claims["checkpoint"].splitlines()
    ids = {hashlib.sha256(f"{origin}\n\1".encode() + key).digest()[:4]: key for key in keys.values()}
    note = base64.b64decode(line.removeprefix(f"— {origin} "))
    Ed25519PublicKey.from_public_bytes(ids[note[:4]]).verify(note[4:], f"{origin}\n{size}\n{root}\n".encode())
    leaf, path = hashlib.sha256(b"\0" + claims["entry"].encode()).digest(), claims["inclusion_proof"]["hashes"]
    found, one_spelling = root_of(leaf, claims["index"], int(size), path), base64.urlsafe_b64encode(decoded(signature))
    if (found, leaf.hex(), one_spelling) != (base64.b64decode(root), claims["leaf_hash"], f"{signature}==".encode()):
        raise ValueError("the ledger does not hold this entry")
    entry, who, text = json.loads(claims["entry"]), claims["sub"], claims["wording"]["en"]
    return f"{who} said {entry['action']} to “{text}”, on record{'' if entry['applied'] else ', without effect'}."


if __name__ == "__main__":
    try:
        texts = [(urllib.request.urlopen(at) if "://" in at else open(at, "rb")).read() for at in sys.argv[1:3]]
        print(verified(texts[0].decode().strip(), json.loads(texts[1])))
    except Exception as fault:
        sys.exit(f"{'That cannot be read' if isinstance(fault, OSError) else 'This receipt does not hold'}: {fault!r}")
