from setuptools import setup

setup(name="handbook", version="1.0", packages=["handbook"], include_package_data=True, install_requires=["Flask~=3.1"])
