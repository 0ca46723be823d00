"""The bill of materials of an image, in SPDX 2.3."""

import datetime
import hashlib
import json
import re
import urllib.parse


def spdx_id(name):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def debian_package(package, distribution):
    query = urllib.parse.urlencode({"arch": package.architecture, "distro": distribution})
    entry = {
        "SPDXID": spdx_id("Package-" + package.name),
        "name": package.name,
        "versionInfo": package.version,
        "supplier": "Person: " + package.maintainer if "<" in package.maintainer
                    else "Organization: " + package.maintainer,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "sourceInfo": "built from the Debian source package " + package.source,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "licenseComments": "see %s in the image" % package.copyright_file(),
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": "pkg:deb/debian/%s@%s?%s" % (
                package.name, urllib.parse.quote(package.version, safe=""), query),
        }],
    }
    if package.homepage:
        entry["homepage"] = package.homepage
    return entry


def program_package(name, version, revision, sha256):
    return {
        "SPDXID": spdx_id("Package-" + name),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: The Dunlin authors",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "primaryPackagePurpose": "APPLICATION",
        "sourceInfo": "revision " + revision,
        "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
        "licenseConcluded": "Apache-2.0",
        "licenseDeclared": "Apache-2.0",
        "copyrightText": "NOASSERTION",
    }


def related(one, kind, other):
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def document(image, version, revision, programs, packages, distribution, epoch):
    """`programs`: SHA-256 sums by name; `packages` are those with files in the image. The same
    input gives the same text."""
    own = [program_package(name, version, revision, sha256) for name, sha256 in programs.items()]
    entries = [debian_package(package, distribution) for package in sorted(packages)]
    relationships = [related("SPDXRef-DOCUMENT", "DESCRIBES", entry["SPDXID"])
                     for entry in own + entries]
    created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    return json.dumps({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "%s-%s" % (image, version),
        "documentNamespace": "https://dunlin.dev/spdx/%s-%s-%s" % (
            image, version, hashlib.sha256("".join(
                [*programs.values(), *(one.version for one in sorted(packages))]
            ).encode()).hexdigest()[:16]),
        "creationInfo": {"created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "creators": ["Tool: dev-image"]},
        "packages": own + entries,
        "relationships": relationships,
    }, indent=1) + "\n"
