"""A certificate authority of a test, and what a server of 127.0.0.1 shows."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def write_authority(folder: Path, address: str = "127.0.0.1") -> tuple[Path, ssl.SSLContext]:
    """The file of an authority, and the context of a server whose certificate it has signed for an address."""
    key, own_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {address}")])
    its_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = (
        _build(name, name, key.public_key(), x509.BasicConstraints(ca=True, path_length=None))
        .add_extension(its_id, critical=False)
        .add_extension(_SIGNS, critical=True)
        .sign(key, hashes.SHA256())
    )
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server of a test")])
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(its_id)
    own = (
        _build(name, own_name, own_key.public_key(), alternative)
        .add_extension(signed_by, critical=False)
        .sign(key, hashes.SHA256())
    )
    path, server = folder / f"authority-{address}.pem", folder / f"server-{address}.pem"
    path.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    private = own_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server.write_bytes(private + own.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    return path, context


def _build(
    issuer: x509.Name, name: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    )
