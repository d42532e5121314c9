#!/bin/sh
echo "Hello from a script that runs anywhere."
