# cmake -DIN=file -DOUT=file -P embed.cmake: writes IN as the octets of a C array's initialiser.
file(READ ${IN} octets HEX)
string(REGEX REPLACE "(................................)" "\\1\n" octets "${octets}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," octets "${octets}")
file(WRITE ${OUT} "${octets}")
